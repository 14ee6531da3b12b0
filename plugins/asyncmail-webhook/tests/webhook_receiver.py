"""A receiver of webhooks as an application would write it: FastAPI, and the standardwebhooks library."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.background import BackgroundTask

SECRET = "whsec_" + base64.b64encode(b"current key, 32 bytes of secrets").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"previous key, 32 bytes of secret").decode()


@dataclass(frozen=True)
class Taken:
    """A webhook whose signature was right."""

    headers: dict[str, str]
    event: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.event["data"]["id"])


class WebhookReceiver:
    """Verifies every POST with ``secret``; ``answer`` makes the reply to those that are genuine."""

    def __init__(self, secret: str = SECRET) -> None:
        self.secret = secret
        self.url = ""
        self.taken: list[Taken] = []
        self.forged = 0
        self.answer: Callable[[Taken], Response] = lambda taken: Response(status_code=204)
        self.hold: Counter[str] = Counter()  # ids that are not answered while positive
        self.open_now = 0
        self.most_open = 0
        self.changed = asyncio.Condition()
        self.app = FastAPI()
        self.app.post("/hooks/mail")(self._take)
        self.app.post("/elsewhere")(self._take)

    @property
    def ids(self) -> list[str]:
        return [taken.id for taken in self.taken]

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Until it is true; a bounded time."""
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(predicate)

    async def _take(self, request: Request) -> Response:
        try:
            event = Webhook(self.secret).verify(await request.body(), dict(request.headers))
        except WebhookVerificationError:
            self.forged += 1
            return Response(status_code=400)
        taken = Taken(dict(request.headers), event)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        async with self.changed:
            self.taken.append(taken)
            self.changed.notify_all()
            await self.changed.wait_for(lambda: self.hold[taken.id] <= 0)
        answer = self.answer(taken)
        answer.background = BackgroundTask(self._answered)
        return answer

    async def _answered(self) -> None:
        self.open_now -= 1

    async def release(self) -> None:
        """Answer everything that is held."""
        async with self.changed:
            self.hold.clear()
            self.changed.notify_all()


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a free port of loopback; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
        listener.close()
