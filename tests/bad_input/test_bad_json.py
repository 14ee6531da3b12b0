"""JSON that is none, that lies about its types, or that there is too much of."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from bad_bench import ABSENT, Bench

from asyncmail.testing.running import mail

ADD = "/commands/add-messages"
BODIES = {  # of every route that reads one, good
    ADD: '{"messages":[%s]}',
    "/commands/delete-messages": '{"ids":["x"],"more":[%s]}',
    "/commands/cleanup-messages": '{"older_than_seconds":1,"more":[%s]}',
    "/account": '{"id":"new","host":"smtp.example.com","more":[%s]}',
}
each_route = pytest.mark.parametrize("path", BODIES)


def item(extra: str, id: str = "bad") -> str:
    """A good message with something behind it, as it is written."""
    return json.dumps(mail(id))[:-1] + f",{extra}}}"


async def nothing_happened(bench: Bench) -> None:
    assert await bench.stored() == set()
    accounts = (await bench.ask("GET", "/accounts")).json()["accounts"]
    assert {account["id"] for account in accounts} <= {"shop", "vault", "plain"}


async def one_is_refused(bench: Bench, extra: str) -> str:
    """A raw message between two good ones; why it is refused, and it alone."""
    items = [item('"tags":[]', "first"), item(extra), item('"tags":[]', "last")]
    reply = await bench.ask("POST", ADD, content=f'{{"messages":[{",".join(items)}]}}'.encode())
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert (answer["queued"], len(answer["rejected"])) == (2, 1)
    assert await bench.stored() == {"first", "last"}
    reason: str = answer["rejected"][0]["reason"]
    return reason


@pytest.mark.bad_input("NaN and Infinity")
@each_route
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "nan", "+1", "0x1", "01", ".5"])
async def test_what_json_has_no_number_for_fails_the_request(
    bench: Bench, path: str, number: str
) -> None:
    reply = await bench.ask("POST", path, content=(BODIES[path] % number).encode())
    assert reply.status_code == 400
    await nothing_happened(bench)


@pytest.mark.bad_input("numbers out of range")
@pytest.mark.parametrize("field", ["deferred_ts", "expires_ts", "priority"])
@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1" + "0" * 30, "9" * 5000, "-" + "9" * 5000]
)
async def test_a_number_that_nothing_holds_fails_its_message(
    bench: Bench, field: str, number: str
) -> None:
    assert (await one_is_refused(bench, f'"{field}":{number}')).startswith("invalid payload")


@pytest.mark.bad_input("numbers out of range")
@pytest.mark.parametrize("number", ["1e400", "1" + "0" * 30, "9" * 5000, "-1", "0", "65536", "1.5"])
async def test_a_port_is_a_port(bench: Bench, number: str) -> None:
    body = f'{{"id":"new","host":"smtp.example.com","port":{number}}}'
    reply = await bench.ask("POST", "/account", content=body.encode())
    assert reply.status_code == 422
    await nothing_happened(bench)


@pytest.mark.bad_input("deep nesting")
@each_route
@pytest.mark.parametrize("depth", [1000, 100_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
async def test_json_that_is_nested_deep_fails_the_request(
    bench: Bench, path: str, depth: int, start: str, end: str
) -> None:
    deep = start * depth + "1" + end * depth
    for body in (deep, BODIES[path] % deep, BODIES[path] % (start * depth)):
        reply = await bench.ask("POST", path, content=body.encode())
        assert reply.status_code == 400
    await nothing_happened(bench)


@pytest.mark.bad_input("lone surrogates")
@pytest.mark.parametrize(
    "extra",
    [
        *[f'"{name}":"a\\ud800b"' for name in ("id", "account_id", "from", "to", "cc", "bcc")],
        *[f'"{name}":"a\\udc00"' for name in ("reply_to", "return_path", "subject", "body")],
        *[f'"{name}":"\\udbff"' for name in ("message_id", "raw", "priority", "on_uncertain")],
        '"headers":{"X-\\ud800":"a"}',
        '"headers":{"X-A":"\\ud800"}',
        '"tags":["\\ud800"]',
        '"calendar":"BEGIN:VCALENDAR\\r\\n\\ud800"',
        '"attachments":[{"filename":"\\ud800","storage_path":"base64:aGk="}]',
        '"attachments":[{"filename":"a","storage_path":"/\\ud800"}]',
        '"attachments":[{"filename":"a","storage_path":"base64:\\ud800"}]',
        '"attachments":[{"filename":"a","storage_path":"base64:aGk=","mime_type":"\\ud800"}]',
        '"attachments":[{"filename":"a","storage_path":"base64:aGk=","content_id":"\\ud800"}]',
    ],
)
async def test_half_a_character_fails_its_message(bench: Bench, extra: str) -> None:
    await one_is_refused(bench, extra)


@pytest.mark.bad_input("lone surrogates")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/account", '{"id":"\\ud800","host":"smtp.example.com"}'),
        ("/account", '{"id":"new","host":"\\ud800"}'),
        ("/account", '{"id":"new","host":"h.example","user":"\\ud800"}'),
        ("/account", '{"id":"new","host":"h.example","password":"\\ud800"}'),
        ("/account", '{"id":"new","host":"h.example","transport":"\\ud800"}'),
        ("/commands/delete-messages", '{"ids":["\\ud800"]}'),
        ("/commands/cleanup-messages", '{"older_than_seconds":"\\ud800"}'),
        (ADD, '{"messages":[],"default_priority":"\\ud800"}'),
        (ADD, '"\\ud800"'),
    ],
)
async def test_half_a_character_fails_a_request_about_one_thing(
    bench: Bench, path: str, body: str
) -> None:
    reply = await bench.ask("POST", path, content=body.encode())
    assert reply.status_code == 422
    await nothing_happened(bench)


@pytest.mark.bad_input("other encodings")
@each_route
async def test_only_utf_8_without_a_mark_is_read(bench: Bench, path: str) -> None:
    good = BODIES[path] % ""
    bad = [
        good.encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")
    ]
    bad += [
        good.encode().replace(b"[", b'["\xff"', 1),
        good.encode().replace(b"[", b'["\xc0\xaf"', 1),
    ]
    bad += [good.encode().replace(b"[", b'["\xed\xa0\x80"', 1)]
    for body in bad:
        assert (await bench.ask("POST", path, content=body)).status_code == 400, body
    await nothing_happened(bench)


@pytest.mark.bad_input("repeated keys")
async def test_of_a_repeated_key_the_last_counts(bench: Bench) -> None:
    last = item('"subject":"last"')
    body = f'{{"messages":[],"messages":[{last}]}}'
    assert (await bench.ask("POST", ADD, content=body.encode())).json()["queued"] == 1
    assert (await bench.service.show("bad"))["message"]["subject"] == "last"


@pytest.mark.bad_input("no JSON")
@each_route
@pytest.mark.parametrize(
    "body",
    [
        b"nul",
        b"null",
        b"[]",
        b'""',
        b"7",
        b"true",
        b"{",
        b"{}{}",
        b"{} x",
        b"a=1",
        b"'{}'",
        b"{a:1}",
    ],
)
async def test_what_is_no_object_fails_the_request(bench: Bench, path: str, body: bytes) -> None:
    assert (await bench.ask("POST", path, content=body)).status_code in (400, 422)
    await nothing_happened(bench)


@pytest.mark.bad_input("no JSON")
@each_route
@pytest.mark.parametrize(
    "kind",
    [
        *(
            "text/plain",
            "text/html",
            "application/xml",
            "application/x-www-form-urlencoded",
            "json",
        ),
        *("multipart/form-data; boundary=x", "application/jsonp", "text/json", "*/*", "é", ";"),
    ],
)
async def test_only_json_is_read(bench: Bench, path: str, kind: str) -> None:
    headers = {b"content-type": kind.encode()}
    content = (BODIES[path] % "").encode()
    reply = await bench.ask("POST", path, content=content, headers=headers)
    assert reply.status_code == (415 if kind != ";" else 200)
    if kind != ";":
        await nothing_happened(bench)
    else:
        await bench.ask("DELETE", "/account/new")


@pytest.mark.bad_input("types")
@pytest.mark.parametrize("field", ["deferred_ts", "expires_ts"])
@pytest.mark.parametrize("value", [True, False, "123", "", -1, 1.5, [], {}, 10**12, "now"])
async def test_a_time_is_a_whole_number_of_seconds(bench: Bench, field: str, value: Any) -> None:
    assert (await bench.refused(**{field: value})).startswith("invalid payload")


@pytest.mark.bad_input("types")
async def test_a_time_to_send_is_at_most_a_year_ahead(bench: Bench) -> None:
    now = int(bench.service.clock.wall())
    for value in (now + 367 * 86400, now * 1000, 253402300799):
        assert (await bench.refused(deferred_ts=value)).startswith("invalid payload")
    assert len(await bench.taken(deferred_ts=now - 5)) == 1
    assert len(await bench.taken(deferred_ts=0)) == 1


@pytest.mark.bad_input("fields of the service")
async def test_what_only_the_service_sets_is_not_taken_from_a_client(bench: Bench) -> None:
    mine = {"sent_ts": 1, "error_ts": 1, "reported_ts": 1, "state": "sent", "status": "sent"}
    mine |= {"retry_count": 9, "error": "x", "tenant_id": "y", "generation": 5, "created_at": 1}
    mine |= {"key": 1, "claim": "x", "attempts": [1], "__proto__": {"a": 1}, "__class__": "x"}
    await bench.post(ADD, {"messages": [mail("mine", **mine)]})
    shown = await bench.service.show("mine")
    assert shown["status"] == "queued"
    assert [shown[k] for k in ("sent_ts", "error_ts", "reported_ts", "error")] == [None] * 4
    assert shown["message"].pop("retry_count") == 0
    assert not mine.keys() & shown["message"].keys()
    assert len(await bench.delivered()) == 1


@pytest.mark.bad_input("too many messages")
@pytest.mark.parametrize("count", [1001, 300_000])
async def test_a_batch_over_the_limit_fails_before_it_is_looked_at(
    bench: Bench, count: int
) -> None:
    body = '{"messages":[' + ",".join(["{}"] * count) + "]}"
    reply = await bench.ask("POST", ADD, content=body.encode())
    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"] == "#/messages"
    await nothing_happened(bench)


@pytest.mark.bad_input("too many messages")
@pytest.mark.parametrize("count", [0, 1, 1000])
async def test_a_batch_up_to_the_limit_is_taken(bench: Bench, count: int) -> None:
    answer = await bench.service.hand_in(*(mail(f"n{n}") for n in range(count)))
    assert answer == {"ok": True, "queued": count, "rejected": []}


@pytest.mark.bad_input("empty objects")
async def test_a_thousand_empty_objects_get_a_reason_each(bench: Bench) -> None:
    assert set(await bench.reasons(*[{}] * 499)) == {"missing id"}


@pytest.mark.bad_input("bodies over the limit")
@each_route
async def test_a_body_over_the_limit_is_refused_whole(bench: Bench, path: str) -> None:
    body = (BODIES[path] % "").encode() + b" " * 4_000_000
    assert (await bench.ask("POST", path, content=body)).status_code == 413
    await nothing_happened(bench)


@pytest.mark.bad_input("compressed bodies")
@each_route
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x", "gzip, identity"])
async def test_a_compressed_body_is_not_unpacked(bench: Bench, path: str, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    reply = await bench.ask("POST", path, content=b"x" * 1000, headers=headers)
    assert reply.status_code == 415
    await nothing_happened(bench)


@pytest.mark.bad_input("message ids")
async def test_an_id_is_a_short_text_without_controls(bench: Bench) -> None:
    bad: list[Any] = [ABSENT, None, "", " ", 7, 0, True, ["x"], {"x": 1}, "x" * 256, "x" * 10_000]
    bad += ["x\0", "\x01", "x\n", "\u2028x", "\x85", "\ud800", "\u00a0", "\u3000"]
    reasons = await bench.reasons(*(bench.message(id=value) for value in bad))
    assert {reason.partition(":")[0] for reason in reasons} <= {"missing id", "invalid payload"}
    assert len(await bench.taken(id="x" * 255)) == 1


@pytest.mark.bad_input("one id twice")
async def test_of_one_id_twice_in_a_request_the_first_wins(bench: Bench) -> None:
    twice = [mail("é", subject="1"), mail("e\u0301", subject="2"), mail("é", subject="3")]
    answer = (await bench.post(ADD, {"messages": twice})).json()
    assert answer["queued"] == 1
    assert (await bench.service.show("%C3%A9"))["message"]["subject"] == "1"


@pytest.mark.bad_input("one id twice")
async def test_of_fifty_clients_with_one_id_one_is_told_that_it_is_queued(bench: Bench) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(bench.post(ADD, {"messages": [mail("same", subject=str(n))]}))
            for n in range(50)
        ]
    answers = [task.result().json() for task in tasks]
    assert sum(answer["queued"] for answer in answers) == 1
    reasons = [entry["reason"] for answer in answers for entry in answer["rejected"]]
    assert reasons == ["duplicate id: already queued"] * 49
    assert len(await bench.delivered()) == 1


@pytest.mark.bad_input("good and bad together")
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("bad", [None, 7, "x", [], {}, {"id": 7}, {"id": "bad", "from": "x"}])
async def test_the_good_ones_are_queued_wherever_the_bad_one_stands(
    bench: Bench, at: int, bad: Any
) -> None:
    batch: list[Any] = [mail("one"), mail("two")]
    batch.insert(at, bad)
    answer = (await bench.post(ADD, {"messages": batch})).json()
    assert (answer["queued"], len(answer["rejected"])) == (2, 1)
    assert await bench.stored() == {"one", "two"}
    assert len(await bench.delivered()) == 2


@pytest.mark.bad_input("priorities")
async def test_a_priority_is_one_of_four(bench: Bench) -> None:
    bad: list[Any] = [-1, 4, 99, "urgent", "", "1", 1.5, True, False, [], {}, "HIGH ", 2**63]
    for reason in await bench.reasons(*(bench.message(priority=value) for value in bad)):
        assert reason.startswith("invalid payload: priority")
    for value in bad:
        reply = await bench.post(ADD, {"messages": [], "default_priority": value})
        assert reply.status_code == 422
    for value, stored in {"HIGH": 1, "low": 3, 0: 0, None: 2}.items():
        await bench.post(ADD, {"messages": [mail(f"p{stored}", priority=value)]})
        assert (await bench.service.show(f"p{stored}"))["priority"] == stored


@pytest.mark.bad_input("ages")
@pytest.mark.parametrize("age", [-1, "1", "", True, [], {}, 10**30, 1e300, 253402300800])
async def test_cleanup_takes_no_age_that_is_none_and_deletes_only_what_it_may(
    bench: Bench, age: Any
) -> None:
    await bench.service.hand_in(mail("waits"))
    reply = await bench.post("/commands/cleanup-messages", {"older_than_seconds": age})
    assert reply.status_code == 422
    for good in ({}, {"older_than_seconds": 0}, {"older_than_seconds": None}):
        assert (await bench.post("/commands/cleanup-messages", good)).json()["removed"] == 0
    assert await bench.stored() == {"waits"}


@pytest.mark.bad_input("ids to delete")
@pytest.mark.parametrize(
    "ids", [None, "x", {"x": 1}, [1], [None], [["x"]], [True], ["x"] * 1001, ["x"] * 900_000]
)
async def test_only_a_list_of_at_most_1000_ids_is_deleted(bench: Bench, ids: Any) -> None:
    await bench.service.hand_in(mail("x"))
    reply = await bench.post("/commands/delete-messages", {"ids": ids})
    assert reply.status_code in (413, 422)
    assert await bench.stored() == {"x"}


@pytest.mark.bad_input("ids to delete")
async def test_deleting_what_cannot_be_there_is_not_found(bench: Bench) -> None:
    ids = ["", "\0", "x" * 100_000, "' OR 1=1--", "%", "*", "é", "\n"]
    await bench.service.hand_in(mail("x"))
    reply = await bench.post("/commands/delete-messages", {"ids": ids})
    assert (reply.json()["removed"], reply.json()["not_found"]) == (0, ids)
    assert await bench.stored() == {"x"}
