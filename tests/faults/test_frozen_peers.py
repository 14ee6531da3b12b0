"""Peers that vanish without a word: stopped in the middle, their connections stay open."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from asyncmail.testing import FaultSMTP, read_ledger
from asyncmail.testing.real_service import RealService, helper_process, id_of, mail, until

HASTY = dict.fromkeys(("connect", "command", "data", "block", "dot"), 1.0)


@pytest.mark.fault("smtp.frozen_server")
async def test_a_mail_server_that_freezes_loses_nothing_and_holds_up_nobody_else(
    service: RealService, tmp_path: Path
) -> None:
    ledger = tmp_path / "copies.jsonl"
    arguments = ("asyncmail.testing.faultsmtp", "--ledger", str(ledger))
    async with helper_process(*arguments) as (server, port), FaultSMTP() as other:
        await service.start()
        await service.account(port, timeouts=HASTY)
        await service.account(other.port, "other")
        ids = [f"m{n}" for n in range(30)]
        await service.hand_in(mail(id) for id in ids[:5])
        await service.in_state("sent", 5)

        server.send_signal(signal.SIGSTOP)
        await service.hand_in(mail(id) for id in ids[5:])
        await service.hand_in(mail(f"o{n}", account_id="other") for n in range(25))
        await other.wait_for(lambda: len(other.accepted) == 25, timeout=30)

        async def is_broken() -> bool:
            accounts = (await service.get("/accounts"))["accounts"]
            return any(a["id"] == "shop" and a["state"] == "broken" for a in accounts)

        async def has_timed_out() -> bool:
            messages = (await service.get("/messages"))["messages"]
            return any("did not come within 1 s" in (m["error"] or "") for m in messages)

        await until(is_broken)  # what needs a new connection waits
        await until(has_timed_out)  # what went over a kept one is tried again
        server.send_signal(signal.SIGCONT)
        await service.in_state("sent", 55, timeout=60)
        copies = Counter(id_of(copy.message_id) for copy in read_ledger(ledger))
        assert copies.keys() == set(ids)
        for id, count in copies.items():
            attempts = (await service.get(f"/messages/{id}"))["attempts"]
            assert count <= 1 + sum(attempt["uncertain"] for attempt in attempts), id


@pytest.mark.fault("sink.frozen")
async def test_a_receiver_that_freezes_holds_up_no_mail_and_gets_every_report(
    service: RealService, tmp_path: Path
) -> None:
    ledger = tmp_path / "reports.jsonl"
    arguments = ("asyncmail.testing.receiver", "--ledger", str(ledger))
    async with helper_process(*arguments) as (receiver, port), FaultSMTP() as smtp:
        service.config["client"] = {
            "proxy_sync_url": f"http://127.0.0.1:{port}/",
            "sync_timeout_seconds": 1,
        }
        await service.start()
        await service.account(smtp.port)
        await service.hand_in([mail("first")])
        await service.in_state("sent", 1)

        receiver.send_signal(signal.SIGSTOP)
        await service.hand_in(mail(f"m{n}") for n in range(200))
        await service.in_state("sent", 201)
        receiver.send_signal(signal.SIGCONT)

        async def all_reported() -> bool:
            lines = ledger.read_text().splitlines()
            posts = [json.loads(line) for line in lines]
            reported = {r["id"] for post in posts if post["acknowledges"] for r in post["reports"]}
            return len(reported) == 201

        await until(all_reported)
