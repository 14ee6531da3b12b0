"""What is posted, and what each answer does to its own report and to the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import entry_points
from typing import Any

import pytest
from fastapi import Response
from webhook_receiver import OLD_SECRET, SECRET, Taken, WebhookReceiver

from asyncmail import ALL, Offer, SinkRefused, SinkUnavailable

Make = Callable[..., Any]


def answering(status: int, *ids: str, **headers: str) -> Callable[[Taken], Response]:
    """That status for these ids, or for all; 204 for the others."""

    def answer(taken: Taken) -> Response:
        if ids and taken.id not in ids:
            return Response(status_code=204)
        return Response(status_code=status, headers=headers)

    return answer


async def test_a_result_arrives_as_a_webhook_that_the_receivers_own_library_verifies(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    now = report().sent_ts
    refused = report(
        "no",
        sent_ts=None,
        error_ts=now,
        error="550 5.1.1 kein Benutzer: café",
        generation=2,
        result_seq=3,
        tags=("invoice",),
    )
    ack = await (await sink()).deliver([refused])
    assert ack.accepted is ALL
    [taken] = receiver.taken
    assert taken.headers["content-type"] == "application/json"
    assert taken.event == {
        "type": "message.failed",
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "id": "no",
            "tenant_id": "default",
            "account_id": "shop",
            "priority": 2,
            "sent_ts": None,
            "error_ts": now,
            "error": "550 5.1.1 kein Benutzer: café",
            "deferred_ts": None,
            "generation": 2,
            "result_seq": 3,
            "tags": ["invoice"],
        },
    }


async def test_each_kind_of_result_has_its_type(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    now = report().sent_ts
    results = [
        report("sent"),
        report("failed", sent_ts=None, error_ts=now, error="550 no"),
        report("deferred", sent_ts=None, deferred_ts=now + 60, error="451 later"),
    ]
    await (await sink()).deliver(results)
    types = {taken.id: taken.event["type"] for taken in receiver.taken}
    assert types == {id: f"message.{id}" for id in ("sent", "failed", "deferred")}


async def test_while_a_secret_is_rotated_receivers_with_either_one_verify(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    both = await sink(secret_previous=OLD_SECRET)
    for secret in (SECRET, OLD_SECRET):
        receiver.secret = secret
        await both.deliver([report(secret[-5:])])
    assert (len(receiver.taken), receiver.forged) == (2, 0)


async def test_a_receiver_with_another_secret_takes_nothing(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    receiver.secret = OLD_SECRET
    with pytest.raises(SinkRefused, match="the answer is 400"):
        await (await sink()).deliver([report()])
    assert receiver.forged == 1


async def test_the_id_stays_over_retries_and_is_another_for_every_other_result(
    sink: Make, receiver: WebhookReceiver, report: Make, context: Any
) -> None:
    made = await sink()
    same = report("a.b")
    await made.deliver([same])
    context.clock.advance(60)
    await made.deliver([same])
    others = [
        report("a.b", result_seq=2),
        report("a.b", generation=2),
        report("a.b", tenant_id="other"),
        report("a", tenant_id='default", "a'),
    ]
    for other in others:
        await made.deliver([other])
    first, again, *rest = (taken.headers["webhook-id"] for taken in receiver.taken)
    assert first == again
    assert len({first, *rest}) == 5
    assert "." not in first
    times = [int(taken.headers["webhook-timestamp"]) for taken in receiver.taken[:2]]
    assert times[1] - times[0] == 60, "the timestamp is the attempt's"
    assert receiver.taken[0].event == receiver.taken[1].event


async def test_types_that_nobody_wants_are_done_with_and_not_posted(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    made = await sink(events=["message.failed"])
    now = report().sent_ts
    ack = await made.deliver([report("sent"), report("bad", sent_ts=None, error_ts=now)])
    assert ack.accepted is ALL
    assert receiver.ids == ["bad"]


async def test_a_report_that_is_refused_holds_up_no_other(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    receiver.answer = answering(422, "poison")
    ids = [f"m{number}" for number in range(20)]
    ack = await (await sink(concurrency=1)).deliver([report(id) for id in ("poison", *ids)])
    assert ack.accepted == frozenset(ids)
    assert ack.retry == {"poison"}
    assert ack.not_before is None


async def test_a_report_that_breaks_the_receiver_holds_up_no_other(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    receiver.answer = answering(500, "poison")
    ack = await (await sink(concurrency=1)).deliver([report("poison"), report("good")])
    assert (ack.accepted, ack.retry) == ({"good"}, {"poison"})


async def test_a_list_of_which_all_is_refused_is_refused(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    receiver.answer = answering(404)
    with pytest.raises(SinkRefused, match="2 of 2 webhooks were not taken: the answer is 404"):
        await (await sink()).deliver([report("a"), report("b")])


@pytest.mark.parametrize("status", [408, 410, 429, 502, 503, 504, 302, 307])
async def test_a_receiver_that_takes_none_now_gets_no_further_post(
    sink: Make, receiver: WebhookReceiver, report: Make, status: int
) -> None:
    receiver.answer = answering(status, Location=receiver.url.replace("hooks/mail", "elsewhere"))
    with pytest.raises(SinkUnavailable, match=f"the answer is {status}") as caught:
        await (await sink(concurrency=1)).deliver([report(f"m{n}") for n in range(50)])
    assert not isinstance(caught.value, SinkRefused)
    assert receiver.ids == ["m0"], "no redirect is followed, and the others were not tried"


async def test_a_receiver_that_is_gone_is_asked_once_an_hour(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    receiver.answer = answering(410)
    with pytest.raises(SinkUnavailable, match="take the sink out of the configuration") as caught:
        await (await sink()).deliver([report()])
    assert caught.value.retry_after == 3600


async def test_the_wish_to_be_asked_later_is_granted_up_to_an_hour(
    sink: Make, receiver: WebhookReceiver, report: Make, context: Any
) -> None:
    made = await sink()
    later = datetime.fromtimestamp(int(context.clock.wall()), UTC) + timedelta(seconds=90)
    wishes = {"17": 17, "999999": 3600, format_datetime(later, usegmt=True): 90, "soon": None}
    for text, seconds in wishes.items():
        receiver.answer = answering(503, **{"Retry-After": text})
        with pytest.raises(SinkUnavailable) as caught:
            await made.deliver([report()])
        if seconds is None:
            assert caught.value.retry_after is None
        else:
            assert caught.value.retry_after == pytest.approx(seconds, abs=1)


async def test_what_was_taken_before_the_receiver_asked_for_a_pause_stays_acknowledged(
    sink: Make, receiver: WebhookReceiver, report: Make, context: Any
) -> None:
    receiver.answer = answering(429, "b", **{"Retry-After": "30"})
    made = await sink(concurrency=1)
    ack = await made.deliver([report("a"), report("b"), report("c")])
    assert (ack.accepted, ack.retry) == ({"a"}, {"b", "c"})
    assert ack.not_before == context.clock.wall() + 30
    assert receiver.ids == ["a", "b"]


async def test_no_more_posts_are_open_than_configured(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    ids = [f"m{number}" for number in range(10)]
    receiver.hold.update(ids)
    made = await sink(concurrency=3)
    call = asyncio.create_task(made.deliver([report(id) for id in ids]))
    await receiver.wait_for(lambda: len(receiver.taken) == 3)
    await receiver.release()
    assert (await call).accepted is ALL
    assert receiver.most_open == 3
    assert sorted(receiver.ids) == sorted(ids)


async def test_no_answer_in_time_is_no_acknowledgement_and_costs_the_others_nothing(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    receiver.hold["slow"] = 1
    made = await sink(timeout_seconds=0.3, concurrency=2)
    ack = await made.deliver([report("slow"), report("a"), report("b")])
    assert (ack.accepted, ack.retry) == ({"a", "b"}, {"slow"})


async def test_an_answer_without_measure_is_no_acknowledgement(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    receiver.answer = lambda taken: Response(b"x" * (2 << 20))
    with pytest.raises(SinkUnavailable, match="longer than 1 MiB"):
        await (await sink()).deliver([report()])


async def test_where_nobody_listens_nothing_is_acknowledged(sink: Make, report: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = await sink(url=f"http://127.0.0.1:{port}/")
    with pytest.raises(SinkUnavailable, match="the call failed"):
        await made.deliver([report()])


async def test_an_empty_list_is_no_post(sink: Make, receiver: WebhookReceiver) -> None:
    assert (await (await sink()).deliver([])).accepted is ALL
    assert receiver.taken == []


async def test_a_call_that_is_cancelled_leaves_no_task_behind(
    sink: Make, receiver: WebhookReceiver, report: Make
) -> None:
    before = asyncio.all_tasks()
    receiver.hold.update(["a", "b"])
    made = await sink()
    call = asyncio.create_task(made.deliver([report("a"), report("b")]))
    await receiver.wait_for(lambda: len(receiver.taken) == 2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    ours = [t for t in asyncio.all_tasks() - before if "webhook" in repr(t.get_coro())]
    assert ours == []


def test_the_package_announces_the_sink() -> None:
    [entry] = entry_points(group="asyncmail.v1", name="webhook")
    [offer] = entry.load().asyncmail_sinks()
    assert isinstance(offer, Offer)
    assert offer.name == "webhook"
