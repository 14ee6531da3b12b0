"""The receiver: a port, HTTP/1.1 by h11, and the posts that the test reads."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from inspect import isawaitable
from pathlib import Path
from types import TracebackType
from typing import Any

import h11

from asyncmail.testing.ledger import Ledger
from asyncmail.testing.receiver.replies import Answering, Post, Reply
from asyncmail.testing.waiting import Waitable


class ReportReceiver(Waitable):
    """An HTTP server on loopback that takes reports and answers from a script (see the package).

    ``ledger``: a file that gets a JSON line per post, before its answer: ``time, method, path, reports,
    status, acknowledges``. ``script``: answers for the first posts; ``answer``: for all others.
    ``tls``: a server context. ``port``: 0 picks a free one.

    To read: ``url``, ``posts``, ``reports`` (all entries in order), ``acknowledged`` (those whose post
    was answered in full by a reply that acknowledges), ``by_id``, ``busy`` (requests not answered yet).
    """

    def __init__(
        self,
        *,
        script: Iterable[Answering] = (),
        answer: Answering | None = None,
        ledger: Path | str | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        super().__init__()
        self.posts: list[Post] = []
        self.acknowledged: list[dict[str, Any]] = []
        self.script: deque[Answering] = deque(script)
        self.answer = answer
        self.host = "127.0.0.1"
        self.port = port
        self.busy = 0
        self._tls = tls
        self._ledger = Ledger(ledger)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}/proxy_sync"

    @property
    def reports(self) -> list[dict[str, Any]]:
        """Every entry of every post, in order, repeated ones too."""
        return [report for post in self.posts for report in post.reports]

    @property
    def by_id(self) -> dict[str, list[dict[str, Any]]]:
        """The entries of each id, in order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for report in self.reports:
            found.setdefault(str(report.get("id")), []).append(report)
        return found

    async def start(self) -> None:
        """Listen; after this ``port`` and ``url`` are the real ones."""
        self._server = await asyncio.start_server(
            self._connected, self.host, self.port, ssl=self._tls, backlog=256
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        await self._server.wait_closed()
        self._server = None
        self._ledger.close()

    async def __aenter__(self) -> ReportReceiver:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- one connection ------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the client went away, or stop() ends this conversation and waits for it
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        while (post := await _read_post(http, reader, writer)) is not None:
            self.busy += 1
            try:
                self.posts.append(post)
                self.changed()
                reply = await self._choose(post)
                self._ledger.write(_ledger_line(post, reply))
                await asyncio.sleep(reply.delay)
                goes_on = await _send(http, writer, reply, post)
                if reply.acknowledges:
                    self.acknowledged.extend(post.reports)
            finally:
                self.busy -= 1
                self.changed()
            if not goes_on or http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                return
            http.start_next_cycle()

    async def _choose(self, post: Post) -> Reply:
        answering = self.script.popleft() if self.script else self.answer
        reply = answering(post) if callable(answering) else answering
        if isawaitable(reply):
            reply = await reply
        return reply or Reply()


async def _read_post(
    http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Post | None:
    """The next request of a connection; ``None`` at its end and for what is not HTTP."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return None
        if event is h11.NEED_DATA:
            if http.they_are_waiting_for_100_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            http.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return _post(request, bytes(body))
        else:
            return None


def _post(request: h11.Request, body: bytes) -> Post:
    headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
    post = Post(time.time(), request.method.decode(), request.target.decode(), headers, body, ())
    content = post.json()
    entries = content.get("delivery_report") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        return post
    reports = tuple(entry for entry in entries if isinstance(entry, dict))
    return Post(post.time, post.method, post.path, headers, body, reports)


def _ledger_line(post: Post, reply: Reply) -> dict[str, Any]:
    return {
        "time": post.time,
        "method": post.method,
        "path": post.path,
        "reports": post.reports,
        "status": reply.status,
        "acknowledges": reply.acknowledges,
    }


async def _send(
    http: h11.Connection, writer: asyncio.StreamWriter, reply: Reply, post: Post
) -> bool:
    """Write an answer as its reply wants it; False if the connection is over with that."""
    left = reply.cut
    for data in [reply.raw] if reply.raw is not None else _http_bytes(http, reply, post):
        shown = data if left is None else data[:left]
        if reply.drip:
            for byte in shown:
                writer.write(bytes([byte]))
                await asyncio.sleep(reply.drip)
        else:
            writer.write(shown)
        await writer.drain()
        if left is not None:
            left -= len(shown)
            if not left:
                break
    if reply.cut is not None and reply.reset:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return reply.cut is None and reply.raw is None


def _http_bytes(http: h11.Connection, reply: Reply, post: Post) -> Iterator[bytes]:
    headers, body = reply.content(post)
    response = h11.Response(status_code=reply.status, headers=list(headers.items()))
    yield http.send(response) or b""
    for data in body:
        yield http.send(h11.Data(data=data)) or b""
    yield http.send(h11.EndOfMessage()) or b""
