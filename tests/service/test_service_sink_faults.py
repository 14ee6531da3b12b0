"""Whatever the receiver of reports answers: mail goes on, and each result arrives in the end."""

from __future__ import annotations

import gzip
import itertools

import pytest

from asyncmail.testing import FaultSMTP, Reply, ReportReceiver
from asyncmail.testing.running import RunningService, StartService, mail

PAGE = "<html><body>Please log in</body></html>"
BOMB = gzip.compress(b" " * 50_000_000)

REFUSALS = {
    "500": Reply(status=500),
    "502 with a page": Reply(status=502, body=PAGE),
    "503 that wants time": Reply(status=503, headers={"Retry-After": "3600"}),
    "429 that wants time": Reply(status=429, headers={"Retry-After": "3600"}),
    "401": Reply(status=401),
    "redirect": Reply(status=302, headers={"Location": "/login"}),
    "a page": Reply(body=PAGE),
    "nothing": Reply(body=b""),
    "a list": Reply(body=[]),
    "null": Reply(body=b"null"),
    "half an object": Reply(body=b'{"sent": 1, "err'),
    "an error in words": Reply(body={"error": "Not authorized"}),
    "cut before the answer": Reply(cut=0),
    "reset before the answer": Reply(cut=0, reset=True),
    "reset in the answer": Reply(cut=90, reset=True),
    "no HTTP": Reply(raw=b"220 smtp.example ESMTP\r\n"),
    "chunks without end": Reply(body=itertools.repeat(b" " * 65_536)),
    "a bomb": Reply(body=BOMB, headers={"Content-Encoding": "gzip"}),
    "refused as it is": Reply(status=422),
    "all withheld": Reply(body={"retry": ["m1"]}),
}


@pytest.mark.fault("sink.error_status", "sink.redirect", "sink.not_an_answer")
@pytest.mark.fault("sink.broken_answer", "sink.endless_answer", "sink.gzip_bomb")
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_what_is_no_acknowledgement_leads_to_the_same_report_again(
    app: RunningService, smtp: FaultSMTP, receiver: ReportReceiver, refusal: Reply
) -> None:
    receiver.script.append(refusal)
    await app.hand_in(mail())
    await app.run_now()
    await receiver.wait_for(lambda: bool(receiver.posts) and not receiver.busy)
    assert (await app.show("m1"))["reported_ts"] is None

    await app.hand_in(mail("m2"))
    assert await app.dispatch() == 1
    assert len(smtp.accepted) == 2, "mail goes on"

    app.clock.advance(60)
    await app.run_now()
    await app.reported("m1")
    await app.reported("m2")
    first, *repeated = receiver.by_id["m1"]
    assert repeated == [first], "the same report, once more"


@pytest.mark.fault("sink.odd_retry_list")
async def test_ids_that_were_not_sent_withhold_nothing(
    app: RunningService, receiver: ReportReceiver
) -> None:
    receiver.script.append(Reply(body={"retry": ["never", "m3", 7, None]}))
    await app.hand_in(mail())
    await app.run_now()
    await app.reported("m1")


@pytest.mark.fault("sink.unreachable")
async def test_mail_goes_on_without_a_receiver_and_every_result_waits_for_it(
    start: StartService, smtp: FaultSMTP
) -> None:
    async with ReportReceiver() as receiver:
        pass
    settings = start.settings()
    client = settings.client.model_copy(update={"proxy_sync_url": receiver.url})
    async with start(settings.model_copy(update={"client": client})) as app:
        await app.account()
        await app.hand_in(*(mail(f"m{n}") for n in range(20)))
        for _ in range(10):
            await app.run_now()
            app.clock.advance(86_400)
        await smtp.wait_for(lambda: len(smtp.accepted) == 20)
        async with ReportReceiver(port=receiver.port) as back:
            await app.run_now()
            await back.wait_for(lambda: len(back.acknowledged) == 20)
            assert len(back.by_id) == 20
