"""Nine accounts beside one in trouble: their mail takes as long as without it, and it loses none."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import pytest

from asyncmail.testing import FaultSMTP, Profile, read_ledger
from asyncmail.testing.real_service import RealService, helper, helper_process, id_of, mail, until

OTHERS = 9
COUNT = 180  # messages of a round
ROUNDS = 4  # of each kind, by turns
FACTOR = 2.0
SLOW = ".".join(f"{verb}.sleep2000" for verb in ("mail", "rcpt", "data"))
TARPIT = f"{SLOW}.dot.accept.sleep2000"


class Others:
    """The nine accounts, and how long their mail takes from its 200 to its arrival."""

    def __init__(self, service: RealService, ledger: Path) -> None:
        self._service = service
        self._ledger = ledger
        self._rounds = 0

    async def p95(self) -> float:
        """Seconds, of one round of messages by turns."""
        self._rounds += 1
        accepted: dict[str, float] = {}
        for number in range(COUNT):
            id = f"r{self._rounds}-{number}"
            answer = await self._service.hand_in([mail(id, account_id=f"other{number % OTHERS}")])
            assert answer["queued"] == 1
            accepted[id] = time.time()
            await asyncio.sleep(0.005)

        async def all_there() -> bool:
            return accepted.keys() <= self._arrivals().keys()

        await until(all_there)
        arrived = self._arrivals()
        taken = sorted(max(arrived[id] - moment, 0.0) for id, moment in accepted.items())
        return taken[int(COUNT * 0.95)]

    def _arrivals(self) -> dict[str, float]:
        return {id_of(copy.message_id): copy.time for copy in read_ledger(self._ledger)}


@pytest.fixture
async def others(service: RealService, tmp_path: Path) -> AsyncIterator[Others]:
    """In a running service, warmed up."""
    ledger = tmp_path / "copies.jsonl"
    async with helper("asyncmail.testing.faultsmtp", "--ledger", str(ledger)) as port:
        await service.start()
        for number in range(OTHERS):
            await service.account(port, f"other{number}")
        made = Others(service, ledger)
        await made.p95()
        yield made


@asynccontextmanager
async def tarpit(service: RealService, number: int) -> AsyncIterator[None]:
    """An account with mail that is always due, whose server takes 2 s for each reply."""
    id = f"tarpit{number}"
    async with helper_process("asyncmail.testing.faultsmtp", "--script", TARPIT) as (server, port):
        await service.account(port, id)
        await service.hand_in(mail(f"{id}-{n}", account_id=id) for n in range(200))
        await asyncio.sleep(0.5)
        yield
        server.send_signal(signal.SIGKILL)  # what is under way ends
    response = await service.api.delete(f"/account/{id}")
    assert response.status_code == 200


@pytest.mark.fault("smtp.tarpit")
async def test_beside_a_tarpit_the_mail_of_others_takes_no_longer(
    service: RealService, others: Others, publish: Callable[..., None]
) -> None:
    without: list[float] = []
    beside: list[float] = []
    for number in range(ROUNDS):
        without.append(await others.p95())
        async with tarpit(service, number):
            beside.append(await others.p95())
    ratio = median(beside) / median(without)
    assert ratio <= FACTOR, (without, beside)
    publish(
        "One account of ten leads to a tarpit, 2 s a reply, with 200 messages always due",
        p95_of_the_others_without_ms=round(median(without) * 1000, 1),
        p95_of_the_others_beside_ms=round(median(beside) * 1000, 1),
        ratio=round(ratio, 2),
    )


@pytest.mark.fault("smtp.wrong_password")
async def test_beside_a_wrong_password_others_go_on_and_none_of_its_mail_fails(
    service: RealService, others: Others, publish: Callable[..., None]
) -> None:
    profile = Profile(auth=("shop", "right"), clear_auth=True)
    async with FaultSMTP(profile=profile) as server:
        without = [await others.p95()]
        await service.account(server.port, user="shop", password="mistyped")
        await service.hand_in(mail(f"m{n}") for n in range(500))
        beside = [await others.p95() for _ in range(2)]
        without.append(await others.p95())
        tries = server.connections
        await service.account(server.port, user="shop", password="right")
        await server.wait_for(lambda: len(server.accepted) == 500, timeout=60)
    assert (await service.get("/messages", status="error"))["messages"] == []
    publish(
        "One account of ten has a wrong password and 500 messages, until it is corrected",
        failed=0,
        sent=len(server.accepted),
        logins_tried=tries,
        p95_of_the_others_without_ms=round(median(without) * 1000, 1),
        p95_of_the_others_beside_ms=round(median(beside) * 1000, 1),
    )
