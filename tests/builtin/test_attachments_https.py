"""The attachment source ``https``, against a real TLS server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from asyncmail import AttachmentError
from asyncmail.builtin.https import Https, HttpsSettings
from asyncmail.model import Address, Attachment, AttachmentReference, Message
from asyncmail.smtp.reach import Place, Resolver

MESSAGE = Message(
    "m", "a", Address("", "me@example.test"), (), (), (), "s", "t", None, "<m@example.test>", 0.0
)
CONTENT = b"%PDF-1.7 \x00\xff"
MD5 = hashlib.md5(CONTENT).hexdigest()
MAX_BYTES = 1000


def answer(status: str = "200 OK", body: bytes = CONTENT, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def endless() -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 100 * (
        b"64\r\n" + 100 * b"x" + b"\r\n"
    )


class Server:
    """Answers each path with fixed bytes; ``None`` never answers. Keeps what it was asked."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.answers: dict[str, bytes | None] = {"/a.pdf": answer()}
        self.requests: list[str] = []
        self.connections = 0
        self.port = 0
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self._context)
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.requests.append(request)
                reply = self.answers.get(request.split()[1], answer("404 Not Found"))
                if reply is None:
                    await asyncio.Event().wait()
                    return
                writer.write(reply)
                await writer.drain()
                if b"Content-Length" not in reply:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return ca, path


@pytest.fixture
async def server(authority: tuple[trustme.CA, Path]) -> AsyncIterator[Server]:
    server = Server(authority[0].issue_cert("localhost", "files.test"))
    await server.start()
    yield server
    await server.stop()


Fetch = Callable[..., Any]


@pytest.fixture
async def fetch(server: Server, authority: tuple[trustme.CA, Path]) -> AsyncIterator[Fetch]:
    """Fetch a path or URL with one source that trusts the server, but for other settings."""
    started: list[Https] = []

    async def fetch(path: str, *, md5: str | None = None, **settings: Any) -> Attachment:
        base = {
            "hosts": [f"localhost:{server.port}", f"files.test:{server.port}"],
            "max_bytes": MAX_BYTES,
            "allow_private": True,
            "ca_file": authority[1],
        }
        if not started or settings:
            source = Https(HttpsSettings.model_validate({**base, **settings}))
            await source.start()
            started.append(source)
        url = path if "//" in path else f"https://localhost:{server.port}{path}"
        reference = AttachmentReference(url, "a.pdf", content_md5=md5)
        return await started[-1].fetch(reference, MESSAGE)

    yield fetch
    for source in started:
        await source.stop()


async def failure(fetch: Fetch, path: str, **settings: Any) -> AttachmentError:
    with pytest.raises(AttachmentError, match=r"^Attachment fetch failed: a\.pdf: ") as caught:
        await asyncio.wait_for(fetch(path, **settings), 10)
    return caught.value


# --- what is allowed -----------------------------------------------------------------------------


async def test_an_allowed_host_is_asked_for_the_plain_content(server: Server, fetch: Fetch) -> None:
    server.answers["/a.pdf?key=1"] = answer(Content_Type="Application/PDF; x=y")
    assert await fetch("/a.pdf?key=1", md5=MD5) == Attachment(CONTENT, "application/pdf")
    (request,) = server.requests
    lines = request.lower().split("\r\n")
    assert lines[0] == "get /a.pdf?key=1 http/1.1"
    assert f"host: localhost:{server.port}" in lines
    assert "accept-encoding: identity" in lines


async def test_a_connection_is_used_again_but_no_cookie_kept(server: Server, fetch: Fetch) -> None:
    server.answers["/a.pdf"] = answer(Set_Cookie="who=me; Path=/")
    await fetch("/a.pdf")
    await fetch("/a.pdf")
    assert server.connections == 1
    assert "cookie" not in server.requests[1].lower()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/plain", "text/plain"),
        ("application/octet-stream", None),
        ("multipart/mixed; boundary=x", None),
        ("message/rfc822", None),
        ("nonsense", None),
    ],
)
async def test_a_type_is_believed_if_one_part_can_have_it(
    server: Server, fetch: Fetch, header: str, expected: str | None
) -> None:
    server.answers["/a.pdf"] = answer(Content_Type=header)
    assert (await fetch("/a.pdf")).mime_type == expected


@pytest.mark.bad_input("places to fetch from")
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://localhost:{port}/a.pdf", "only https"),
        ("gopher://localhost:{port}/a.pdf", "only https"),
        ("https://localhost/a.pdf", "localhost:443 is not an allowed host"),
        ("https://localhost:22/a.pdf", "localhost:22 is not an allowed host"),
        ("https://127.0.0.1:{port}/a.pdf", "not an allowed host"),
        ("https://2130706433:{port}/a.pdf", "not an allowed host"),
        ("https://[::ffff:127.0.0.1]:{port}/a.pdf", "not an allowed host"),
        ("https://localhost.evil.test:{port}/a.pdf", "not an allowed host"),
        ("https://me:pw@localhost:{port}/a.pdf", "credentials"),
        ("https://localhost:{port}@evil.test/a.pdf", "credentials"),
        ("https://localhost:{port}\\@evil.test/a.pdf", ""),
        ("https://localhost:99999/a.pdf", ""),
        ("https://lo\ud800cal/a.pdf", ""),
        ("https://localhost:{port}/a\n.pdf", "not a URL"),
        ("https:///a.pdf", ""),
    ],
)
async def test_no_other_place_is_asked(server: Server, fetch: Fetch, url: str, why: str) -> None:
    error = await failure(fetch, url.format(port=server.port))
    assert error.permanent
    assert why in str(error)
    assert server.connections == 0


@pytest.mark.bad_input("places to fetch from")
async def test_without_hosts_nothing_is_allowed(fetch: Fetch) -> None:
    assert "not an allowed host" in str(await failure(fetch, "/a.pdf", hosts=[]))


def test_it_claims_urls_and_nothing_else() -> None:
    handles = Https(HttpsSettings()).handles
    assert handles(AttachmentReference("https://x.test/", "a"))
    assert handles(AttachmentReference("HTTP://x.test/", "a"))
    assert handles(AttachmentReference("x", "a", fetch_mode="http_url"))
    assert not handles(AttachmentReference("https://x.test/", "a", fetch_mode="endpoint"))
    assert not handles(AttachmentReference("/https://x.test/", "a"))


@pytest.mark.parametrize(
    "host", ["", "*.test", "https://x.test", "x.test/path", "me@x.test", "x.test:0x", "x y", "x?"]
)
def test_a_host_that_cannot_be_meant_is_refused(host: str) -> None:
    with pytest.raises(ValidationError):
        HttpsSettings.model_validate({"hosts": [host]})


# --- addresses -----------------------------------------------------------------------------------


class Names:
    """Answers look-ups from a list, one item each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.answers = list(answers)

        async def look_up(_: Resolver, host: str, port: int) -> list[Place]:
            assert host == "files.test"
            return [(socket.AF_INET, (address, port)) for address in self.answers.pop(0)]

        monkeypatch.setattr(Resolver, "addresses", look_up)


@pytest.mark.bad_input("private addresses")
async def test_private_addresses_are_refused_unless_allowed(server: Server, fetch: Fetch) -> None:
    error = await failure(fetch, "/a.pdf", allow_private=False)
    assert error.permanent
    assert "localhost has the private address" in str(error)
    assert server.connections == 0


@pytest.mark.bad_input("private addresses")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
    ],
)
async def test_every_kind_of_private_address_is_known_also_beside_a_public_one(
    server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    Names(monkeypatch, ["93.184.216.34", address])
    url = f"https://files.test:{server.port}/a.pdf"
    error = await failure(fetch, url, allow_private=False)
    assert error.permanent
    assert f"files.test has the private address {address}" in str(error)


@pytest.mark.bad_input("names that change")
async def test_the_address_that_was_checked_is_the_one_connected_to(
    server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, ["127.0.0.1"])  # a second look-up would find nothing to answer
    assert (await fetch(f"https://files.test:{server.port}/a.pdf")).content == CONTENT
    assert names.answers == []
    assert f"host: files.test:{server.port}" in server.requests[0].lower()


async def test_the_next_address_is_tried_where_one_does_not_answer(
    server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert (await fetch(f"https://files.test:{server.port}/a.pdf")).content == CONTENT


async def test_a_name_that_is_unknown_is_a_passing_failure(
    server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(Resolver, "addresses", unknown)
    error = await failure(fetch, f"https://files.test:{server.port}/a.pdf")
    assert not error.permanent
    assert "Name or service not known" in str(error)


# --- what servers do -----------------------------------------------------------------------------


@pytest.mark.bad_input("redirects")
@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        ("204 No Content", True),
        ("301 Moved", True),
        ("400 Bad", True),
        ("403 Forbidden", True),
        ("404 Not Found", True),
        ("410 Gone", True),
        ("408 Timeout", False),
        ("429 Slow down", False),
        ("500 Oops", False),
        ("503 Later", False),
    ],
)
async def test_a_status_says_whether_trying_again_is_of_use(
    server: Server, fetch: Fetch, status: str, permanent: bool
) -> None:
    target = f"https://localhost:{server.port}/other"
    body = b"" if status.startswith("204") else b"no"
    server.answers["/a.pdf"] = answer(status, body, Location=target)
    error = await failure(fetch, "/a.pdf")
    assert error.permanent is permanent
    assert f"localhost answered {status[:3]}" in str(error)
    assert len(server.requests) == 1


async def test_an_error_never_shows_the_url_with_its_key(server: Server, fetch: Fetch) -> None:
    assert "s3cret" not in str(await failure(fetch, "/a.pdf?key=s3cret"))
    assert "s3cret" not in str(await failure(fetch, "https://x.test/?key=s3cret"))


@pytest.mark.bad_input("endless content")
@pytest.mark.parametrize(
    "reply",
    [
        answer(body=bytes(MAX_BYTES + 1)),
        answer(body=b"").replace(b"Content-Length: 0", b"Content-Length: 99999999"),
        endless(),
    ],
    ids=["one byte over", "announced", "endless"],
)
async def test_size_is_limited(server: Server, fetch: Fetch, reply: bytes) -> None:
    server.answers["/a.pdf"] = reply
    error = await failure(fetch, "/a.pdf")
    assert error.permanent
    assert f"more than {MAX_BYTES} bytes" in str(error)
    server.answers["/a.pdf"] = answer(body=bytes(MAX_BYTES))
    assert len((await fetch("/a.pdf")).content) == MAX_BYTES


@pytest.mark.bad_input("endless content")
async def test_compressed_content_is_never_unpacked(server: Server, fetch: Fetch) -> None:
    bomb = gzip.compress(bytes(1_000_000))[:900]
    server.answers["/a.pdf"] = answer(body=bomb, Content_Encoding="gzip")
    assert (await failure(fetch, "/a.pdf")).permanent


async def test_content_with_another_md5_is_refused_for_good(server: Server, fetch: Fetch) -> None:
    error = await failure(fetch, "/a.pdf", md5="0" * 32)
    assert error.permanent
    assert "content_md5 does not match" in str(error)


@pytest.mark.bad_input("silent sources")
async def test_silence_and_half_an_answer_are_passing_failures(
    server: Server, fetch: Fetch
) -> None:
    server.answers["/silent"] = None
    error = await failure(fetch, "/silent", timeout_seconds=0.2)
    assert not error.permanent
    assert "no answer from localhost within 0.2 s" in str(error)
    server.answers["/half"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
    assert not (await failure(fetch, "/half")).permanent


async def test_a_certificate_that_is_not_trusted_is_refused(server: Server, fetch: Fetch) -> None:
    error = await failure(fetch, "/a.pdf", ca_file=None)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert server.requests == []


async def test_a_certificate_for_another_name_is_refused(server: Server, fetch: Fetch) -> None:
    address = f"127.0.0.1:{server.port}"
    error = await failure(fetch, f"https://{address}/a.pdf", hosts=[address])
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert server.requests == []
