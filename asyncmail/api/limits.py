"""What a request may cost, kept before anything is understood: bytes, time and their sum.

``RequestLimits`` also stamps every reply with a request id and the headers that keep browsers and
caches from making more of it than it is.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asyncmail.api.problems import ProblemResponse, retry_after

BODIES_AT_ONCE = 4  # the largest bodies that may be held in memory together

log = logging.getLogger(__name__)


def new_request_id() -> str:
    return secrets.token_hex(8)


class RequestLimits:
    """ASGI middleware: the outermost layer of ours."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        new_id: Callable[[], str] = new_request_id,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._new_id = new_id
        self._held = 0  # bytes of bodies of requests that are not answered yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        reply = _Reply(send, request_id)
        body = _Body(receive, self)
        try:
            refusal = self._refusal(Headers(scope=scope), request_id)
            if refusal is not None:
                await refusal(scope, receive, reply.send)
                return
            await self._app(scope, body.receive, reply.send)
        except Exception:
            log.exception("request %s failed", request_id)
            if reply.started:
                raise  # only a broken connection can tell now
            detail = "an unexpected error; the log of the service names it by the request id"
            await ProblemResponse(500, detail, request_id=request_id)(scope, receive, reply.send)
        finally:
            self._held -= body.size

    def _refusal(self, headers: Headers, request_id: str) -> ProblemResponse | None:
        """An answer that needs no look at the body."""
        length = headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            return ProblemResponse(400, "Content-Length is not a number", request_id=request_id)
        if length is not None and (len(length) > 15 or int(length) > self._max_body_bytes):
            return ProblemResponse(413, self._too_large(), request_id=request_id)
        if headers.get("content-encoding", "identity").lower() != "identity":
            detail = "bodies are taken as they are: send no Content-Encoding"
            return ProblemResponse(415, detail, request_id=request_id)
        return None

    def _too_large(self) -> str:
        return f"the body is larger than {self._max_body_bytes} bytes; send fewer messages at once"

    def take(self, size: int, so_far: int) -> None:
        """Count bytes that arrived for one request; raises when they are too many."""
        self._held += size
        if so_far > self._max_body_bytes:
            raise HTTPException(413, self._too_large())
        if self._held > BODIES_AT_ONCE * self._max_body_bytes:
            detail = "too many large requests at once; nothing of this one was kept"
            raise HTTPException(503, detail, headers=retry_after(1))


class _Body:
    """Counts what arrives, whatever Content-Length said."""

    def __init__(self, receive: Receive, limits: RequestLimits) -> None:
        self._receive = receive
        self._limits = limits
        self.size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        self.size += size
        if size:
            self._limits.take(size, self.size)
        return message


class _Reply:
    """Adds to each reply what all of them carry."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)
