"""What the genropy sink sends, and which answers it takes for an acknowledgement."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trustme
from pydantic import ValidationError
from rawhttp import Answer, Receiver, endless, raw, receiving, reply, silence

from asyncmail import ALL, Ack, SinkRefused, SinkUnavailable, Transport
from asyncmail.builtin.genropy import GenropySettings, GenropySink, asyncmail_sinks
from asyncmail.model import Report
from asyncmail.testing import ManualClock, ReportReceiver


@dataclass(frozen=True)
class Lent:
    """The context of a sink in these tests."""

    clock: ManualClock = field(default_factory=ManualClock)
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("test.genropy"))

    def transport(self, name: str) -> Transport:
        raise LookupError(name)


SENT = Report(1, "default", "MSG-101", "accA", 1, 1728458400, None, None, None)
FAILED = Report(2, "default", "MSG-102", "accA", 2, None, 1728458612, "SMTP timeout", None)

# The payload of the reference page, word for word.
EXAMPLE = """{
"delivery_report": [
{
"id": "MSG-101",
"account_id": "accA",
"priority": 1,
"sent_ts": 1728458400,
"error_ts": null,
"error": null,
"deferred_ts": null
},
{
"id": "MSG-102",
"account_id": "accA",
"priority": 2,
"sent_ts": null,
"error_ts": 1728458612,
"error": "SMTP timeout",
"deferred_ts": null
}
]
}"""


@asynccontextmanager
async def sink_for(
    url: str, context: Lent | None = None, **settings: Any
) -> AsyncIterator[GenropySink]:
    settings.setdefault("sync_timeout_seconds", 5)
    sink = GenropySink(GenropySettings(proxy_sync_url=url, **settings), context or Lent())
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


async def deliver(
    answer: Answer, reports: Sequence[Report] = (SENT, FAILED), **settings: Any
) -> tuple[Ack, Receiver]:
    """One call to a receiver that answers like this."""
    async with receiving(answer) as receiver, sink_for(receiver.url, **settings) as sink:
        return await sink.deliver(reports), receiver


# --- what is sent --------------------------------------------------------------------------------


async def test_the_body_is_that_of_the_reference_page() -> None:
    _, receiver = await deliver(reply(body=b'{"sent": 1, "error": 1, "deferred": 0}'))
    (request,) = receiver.requests
    assert request.line == "POST /proxy_sync HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == json.loads(EXAMPLE)
    keys = [list(entry) for entry in json.loads(request.body)["delivery_report"]]
    assert keys == [list(entry) for entry in json.loads(EXAMPLE)["delivery_report"]]


async def test_an_empty_list_is_posted_as_an_empty_list() -> None:
    _, receiver = await deliver(reply(), reports=())
    assert json.loads(receiver.requests[0].body) == {"delivery_report": []}


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({}, None),
        ({"proxy_sync_token": "tok"}, "Bearer tok"),
        ({"proxy_sync_user": "ü", "proxy_sync_password": "p:w"}, "ü:p:w"),
        ({"proxy_sync_user": "u", "proxy_sync_token": "tok"}, "Bearer tok"),
    ],
)
async def test_a_token_goes_before_a_user(settings: dict[str, str], header: str | None) -> None:
    _, receiver = await deliver(reply(), **settings)
    found = receiver.requests[0].headers.get("authorization")
    if found is not None and found.startswith("Basic "):
        found = base64.b64decode(found.removeprefix("Basic ")).decode()
    assert found == header


async def test_lone_surrogates_in_an_error_do_not_stop_a_report() -> None:
    odd = Report(3, "default", "MSG-103", "accA", 2, None, 1, "bad \ud800 byte", None)
    _, receiver = await deliver(reply(), reports=[odd])
    assert json.loads(receiver.requests[0].body)["delivery_report"][0]["error"] == "bad \ud800 byte"


async def test_a_proxy_named_by_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    ack, _ = await deliver(reply())
    assert ack.accepted is ALL


# --- which answers acknowledge -------------------------------------------------------------------


@pytest.mark.fault("sink.sloppy_success")
@pytest.mark.parametrize(
    "body",
    [
        '{"sent": 12, "error": 1, "deferred": 3}',
        '{"ok": true}',
        "{}",
        '{"error": ["MSG-102"], "not_found": ["MSG-101"]}',
        '{"error": 0, "not_found": 2}',
        '{"error": null}',
        '{"queued": 5}',
        '{"queued": "many", "sent": "x"}',
        "::NN",
        " ::NN\r\n",
    ],
)
async def test_an_answer_of_success_acknowledges_the_whole_list(body: str) -> None:
    ack, _ = await deliver(reply(body=body.encode(), content_type="text/html"))
    assert ack.accepted is ALL
    assert ack.retry == frozenset()


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_any_2xx_with_an_object_acknowledges(status: int) -> None:
    ack, _ = await deliver(reply(status))
    assert ack.accepted is ALL


@pytest.mark.fault("sink.not_an_answer")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b'"ok"',
        b"<html>Please log in</html>",
        b'{"sent": 1',
        b"[" * 100_000,
        b"1" * 5_000,
        b"\xff\xfe",
        b"::NNN",
        b'{"error": "Not authorized"}',
        b'{"error": ""}',
        b'{"error": {"code": 1}}',
        b'{"error": 1.5}',
        b'{"not_found": "all"}',
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
async def test_an_answer_that_is_not_clearly_success_acknowledges_nothing(body: bytes) -> None:
    with pytest.raises(SinkUnavailable) as caught:
        await deliver(reply(body=body))
    assert not isinstance(caught.value, SinkRefused)


@pytest.mark.fault("sink.error_status")
@pytest.mark.parametrize("status", [300, 304, 401, 403, 404, 409, 429, 500, 502, 503, 504])
async def test_other_statuses_acknowledge_nothing(status: int) -> None:
    with pytest.raises(SinkUnavailable, match=str(status)) as caught:
        await deliver(reply(status, b"" if status == 304 else b'{"sent": 2}'))
    assert not isinstance(caught.value, SinkRefused)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_list_may_be_refused_as_it_is(status: int) -> None:
    with pytest.raises(SinkRefused, match=str(status)):
        await deliver(reply(status))


@pytest.mark.fault("sink.redirect")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else(status: int) -> None:
    async with receiving(reply()) as elsewhere:
        with pytest.raises(SinkUnavailable, match="redirect"):
            await deliver(reply(status, location=elsewhere.url), proxy_sync_token="tok")
        assert elsewhere.requests == []


# --- answers that go wrong on the way ------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.fault("sink.broken_answer")
@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"nonsense\r\n\r\n"),
        raw(OK + b"Content-Length: 30\r\n\r\n{}"),
        raw(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        raw(OK + b"X: " + b"x" * 1_000_000),
    ],
    ids=["nothing", "nonsense", "truncated", "no last chunk", "bad chunk", "endless header"],
)
async def test_a_broken_answer_acknowledges_nothing(answer: Answer) -> None:
    with pytest.raises(SinkUnavailable):
        await deliver(answer)


@pytest.mark.fault("sink.unreachable")
async def test_nobody_listening_acknowledges_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with sink_for(f"http://127.0.0.1:{port}/") as sink:
        with pytest.raises(SinkUnavailable, match="ConnectError"):
            await sink.deliver([SENT])


@pytest.mark.fault("sink.endless_answer")
async def test_no_more_than_a_mebibyte_of_an_answer_is_read() -> None:
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", piece)
    with pytest.raises(SinkUnavailable, match="1 MiB"):
        await deliver(answer)


async def test_an_answer_of_exactly_a_mebibyte_is_read() -> None:
    ack, _ = await deliver(reply(body=b"{}".ljust(1 << 20)))
    assert ack.accepted is ALL
    with pytest.raises(SinkUnavailable, match="1 MiB"):
        await deliver(reply(body=b"{}".ljust((1 << 20) + 1)))


@pytest.mark.fault("sink.slow_answer")
@pytest.mark.parametrize(
    "answer",
    [
        silence,
        endless(OK + b"Content-Length: 1000000\r\n\r\n", b" ", 0.02),
        endless(OK, b"X", 0.02),
    ],
    ids=["silent", "dripping body", "dripping headers"],
)
async def test_the_whole_call_has_one_timeout(answer: Answer) -> None:
    with pytest.raises(SinkUnavailable, match=r"no answer within 0\.3 s"):
        await deliver(answer, sync_timeout_seconds=0.3)


@pytest.mark.fault("sink.gzip_bomb")
async def test_a_compressed_answer_is_unpacked_up_to_the_limit() -> None:
    ack, _ = await deliver(reply(body=gzip.compress(b'{"sent": 2}'), content_encoding="gzip"))
    assert ack.accepted is ALL
    ack, _ = await deliver(reply(body=zlib.compress(b"{}"), content_encoding="deflate"))
    assert ack.accepted is ALL
    bomb = gzip.compress(b" " * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(SinkUnavailable, match="1 MiB"):
            await deliver(reply(body=bomb, content_encoding="gzip"))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(SinkUnavailable, match="not proper gzip"):
        await deliver(reply(body=b"{}", content_encoding="gzip"))
    with pytest.raises(SinkUnavailable, match="encoded"):
        await deliver(reply(body=b"{}", content_encoding="br"))


# --- what an answer asks for ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "again"),
    [('{"queued": 5}', True), ('{"queued": 0}', False), ("{}", False), ('{"queued": "5"}', False)],
)
async def test_queued_mail_asks_for_another_call_at_once(body: str, again: bool) -> None:
    ack, _ = await deliver(reply(body=body.encode()))
    assert ack.again is again


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("1750000100", 1750000100.0),
        ("1750000100.5", 1750000100.5),
        ("null", None),
        ('"soon"', None),
        ("true", None),
        ("NaN", None),
        ("1e400", None),
        ("-1", None),
        ("9" * 400, None),
    ],
)
async def test_next_sync_after_is_a_moment_or_ignored(value: str, moment: float | None) -> None:
    ack, _ = await deliver(reply(body=b'{"next_sync_after": %s}' % value.encode()))
    assert ack.accepted is ALL
    assert ack.not_before == moment


@pytest.mark.fault("sink.odd_retry_list")
@pytest.mark.parametrize(
    ("value", "ids", "warns"),
    [
        ('["MSG-101"]', {"MSG-101"}, False),
        ("[]", set(), False),
        ("null", set(), False),
        ('["MSG-101", 5, null]', {"MSG-101"}, True),
        ('"MSG-101"', set(), True),
        ("{}", set(), True),
    ],
)
async def test_retry_withholds_the_ids_it_names(
    value: str, ids: set[str], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ack, _ = await deliver(reply(body=b'{"retry": %s}' % value.encode()))
    assert ack.accepted is ALL
    assert ack.retry == ids
    assert ("retry" in caplog.text) is warns


@pytest.mark.parametrize(
    ("body", "warns"),
    [
        ('{"sent": 1, "error": 1, "deferred": 0}', False),
        ('{"sent": 1, "error": ["MSG-102"]}', False),
        ('{"sent": 12, "error": 1, "deferred": 3}', True),
        ('{"error": ["MSG-102"]}', False),
    ],
)
async def test_counters_that_do_not_add_up_are_logged(
    body: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ack, _ = await deliver(reply(body=body.encode()))
    assert ack.accepted is ALL
    assert ("counts" in caplog.text) is warns


IN_TWO_MINUTES = datetime.fromtimestamp(ManualClock().wall(), UTC) + timedelta(minutes=2)


@pytest.mark.fault("sink.error_status")
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (format_datetime(IN_TWO_MINUTES, usegmt=True), 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
async def test_retry_after_is_passed_on(status: int, value: str, seconds: float | None) -> None:
    with pytest.raises(SinkUnavailable) as caught:
        await deliver(reply(status, retry_after=value))
    assert caught.value.retry_after == seconds


# --- the extension -------------------------------------------------------------------------------


async def test_calls_share_a_connection() -> None:
    ports: set[int] = set()

    async def answer(writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        await reply()(writer)

    async with receiving(answer) as receiver, sink_for(receiver.url) as sink:
        for _ in range(3):
            await sink.deliver([SENT])
    assert len(ports) == 1


def test_it_is_offered_as_genropy_and_polls() -> None:
    (offer,) = asyncmail_sinks()
    assert offer.name == "genropy"
    settings = offer.settings(proxy_sync_url="http://127.0.0.1/x", idle_sync_seconds=7)
    sink = offer.make(settings, Lent())
    assert (sink.max_batch, sink.poll_seconds) == (1000, 7)
    assert sink.timeout > settings.sync_timeout_seconds


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"proxy_sync_url": ""}, "http"),
        ({"proxy_sync_url": "ftp://host/"}, "http"),
        ({"proxy_sync_url": "http://"}, "host"),
        ({"proxy_sync_url": "https://u:p@host/"}, "credentials"),
        ({"proxy_sync_url": "https://host/", "proxy_sync_token": "a\r\nX: b"}, "ASCII"),
        ({"proxy_sync_url": "https://host/", "sync_timeout_seconds": 0}, "greater than 0"),
        ({"proxy_sync_url": "https://host/", "sync_url": "x"}, "not permitted"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GenropySettings(**settings)


def test_secrets_are_not_shown() -> None:
    settings = GenropySettings(
        proxy_sync_url="https://host/", proxy_sync_password="canary", proxy_sync_token="canary"
    )
    assert "canary" not in repr(settings)


@pytest.mark.fault("sink.no_encryption")
async def test_credentials_on_their_way_in_clear_are_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with sink_for("http://app.example/sync", proxy_sync_token="tok"):
        assert "without encryption" in caplog.text
    caplog.clear()
    async with sink_for("https://app.example/sync", proxy_sync_token="tok"):
        assert caplog.text == ""


@pytest.mark.fault("sink.bad_certificate")
async def test_a_certificate_that_proves_nothing_gets_no_token() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with ReportReceiver(tls=context) as receiver:
        async with sink_for(receiver.url, proxy_sync_token="tok") as sink:
            with pytest.raises(SinkUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await sink.deliver([SENT])
        assert receiver.posts == []
