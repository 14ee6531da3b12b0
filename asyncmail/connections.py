"""HTTP connections, bounded: how many there are, how long they may dawdle, how large a head may be.

uvicorn parses and answers, and leaves these bounds to a proxy in front of it. Here there may be none,
and whoever had all connections, or all descriptors, would hold up mail that has nothing to do with him.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from asyncmail.api.limits import new_request_id
from asyncmail.api.problems import ProblemResponse, retry_after

HEAD_SECONDS = 10.0  # for the head of a request to arrive whole
HEAD_BYTES = 65_536
HEAD_FIELDS = 100
REST_SECONDS = 5.0  # for the rest of a body whose request is answered already
READ_SECONDS = 60.0  # without anything of a reply being read

TOO_LARGE = (431, "the head of the request is too large")
NOT_HTTP = (400, "the request is not well-formed HTTP/1.1")
HOP_BY_HOP = frozenset({b"upgrade", b"http2-settings"})


def connections(at_most: int) -> type[asyncio.Protocol]:
    """The protocol for ``uvicorn.Config(http=...)``, for one server."""
    return cast("type[asyncio.Protocol]", partial(Connection, at_most=at_most))


class _Refused(Exception):
    """Ends the parser's work in the middle of a head: status and reason."""


class Connection(HttpToolsProtocol):
    """One connection. Where there are ``at_most`` already, the one that has waited longest without a
    request makes room; if all of them work, the new one is told to come again."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        at_most: int,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = logging.getLogger("asyncmail.http")
        self._at_most = at_most
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._idle_since: float | None = (
            self.loop.time()
        )  # waits for a request, or the rest of its head
        self._in_head = False
        self._in_body = False
        self._heads = 0  # complete ones
        self._head_bytes = 0  # of the one that is not complete

    # --- how many ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._at_most and not self._make_room():
            detail = "too many connections at once"
            self._answer(503, detail, retry_after(1))
            return
        self._start("head", HEAD_SECONDS, self._head_is_late)

    def _make_room(self) -> bool:
        others = [c for c in self.connections if c is not self and isinstance(c, Connection)]
        idle = [(c._idle_since, id(c), c) for c in others if c._idle_since is not None]
        if not idle:
            return False
        min(idle)[2].transport.abort()
        return True

    # --- how long ---

    def _start(self, name: str, seconds: float, late: Callable[[], None]) -> None:
        self._timers[name] = self.loop.call_later(seconds, late)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _head_is_late(self) -> None:
        if self.flow.read_paused:  # it waits for us
            self._start("head", HEAD_SECONDS, self._head_is_late)
        elif self._head_bytes and (self.cycle is None or self.cycle.response_complete):
            self._answer(408, f"the request did not arrive within {HEAD_SECONDS:g} s")
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("read", READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("read")

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    # --- what comes ---

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        heads, was_in_body = self._heads, self._in_body
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(*(cause.args if isinstance(cause, _Refused) else NOT_HTTP))
            return
        went_on = was_in_body or self._heads != heads
        if self._in_head or not (self._in_body or went_on):
            self._head_bytes = 0 if went_on else self._head_bytes + len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(*TOO_LARGE)
            elif "head" not in self._timers:
                self._start("head", HEAD_SECONDS, self._head_is_late)
        else:
            self._head_bytes = 0
            self._stop("head")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if len(self.headers) > HEAD_FIELDS or size > HEAD_BYTES:
            raise _Refused(*TOO_LARGE)
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise _Refused(*NOT_HTTP)
        if self._is_offer():
            return
        self._in_head, self._in_body, self._idle_since = False, True, None
        self._heads += 1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._is_offer():
            return
        super().on_message_complete()
        self._in_body = False
        self._stop("rest")

    def _is_offer(self) -> bool:
        """Whether this head offers to go on in another protocol."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _decline(self, rest: bytes) -> None:
        """Read the request as if it had offered nothing (RFC 9110 7.8).

        Behind an offer the parser expects the other protocol and would take no body, which Java's client
        sends along with it.
        """
        version = self.parser.get_http_version().encode()
        head = [b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join([t for t in tokens if t.lower() not in HOP_BY_HOP])
            if name not in HOP_BY_HOP:
                head.append(b"%s: %s\r\n" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([*head, b"\r\n", rest]))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # a request that came behind this one is at work
        self._idle_since = self.loop.time()
        if self._in_body:
            self._start("rest", REST_SECONDS, self.transport.abort)

    # --- what is said to it ---

    def _refuse(self, status: int, detail: str) -> None:
        """Answer what cannot be understood, behind the answers that are still to come."""
        cycle = self.cycle
        idle = cycle is None or cycle.response_complete
        if idle or (cycle.more_body and not cycle.response_started and not self.pipeline):
            self._answer(status, detail)
        else:
            cycle.keep_alive = False
            self.flow.pause_reading()

    def _answer(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        """Say it in the form of all errors, and close."""
        request_id = new_request_id()
        reply = ProblemResponse(status, detail, request_id=request_id, headers=headers)
        reply.headers["X-Request-ID"] = request_id
        reply.headers["X-Content-Type-Options"] = "nosniff"
        reply.headers["Cache-Control"] = "no-store"
        reply.headers["Connection"] = "close"
        head = [b"HTTP/1.1 %d \r\n" % status]
        head += [b"%s: %s\r\n" % field for field in reply.raw_headers]
        self.transport.write(b"".join([*head, b"\r\n", bytes(reply.body)]))
        self.transport.close()
