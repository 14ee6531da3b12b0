"""NATS JetStream: published with ``Nats-Msg-Id``, each confirmed by the stream that stored it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext

from asyncmail_streams.link import Link, while_open
from asyncmail_streams.notes import Note
from asyncmail_streams.settings import NatsSettings

ID_HEADER = "Nats-Msg-Id"  # the stream drops what comes again within its duplicate window


class NatsLink(Link):
    failures = (Error,)

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._lost: asyncio.Future[Exception] | None = None
        self._error: Exception | None = None

    async def open(self, tls: ssl.SSLContext | None) -> None:
        settings = self._settings
        self._client, self._error = Client(), None
        self._lost = asyncio.get_running_loop().create_future()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            await self._client.connect(
                f"{'nats' if tls is None else 'tls'}://{host}:{settings.port}",
                name="asyncmail",
                user=settings.user,
                password=settings.secret,
                tls=tls,
                error_cb=self._note_error,
                closed_cb=self._note_end,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
            )
        except Error:
            raise self._error or ConnectionError("not connected") from None
        self._stream = self._client.jetstream()

    async def publish(self, notes: Sequence[Note], confirmed: set[str]) -> str:
        if self._stream is None or self._lost is None:
            raise ConnectionError("not connected")
        return await while_open(self._publish(self._stream, notes, confirmed), self._lost)

    async def _publish(
        self, stream: JetStreamContext, notes: Sequence[Note], confirmed: set[str]
    ) -> str:
        # Not publish_async(): in nats-py 2 its future never hears of a refusal.
        whys = await asyncio.gather(*(self._publish_one(stream, n, confirmed) for n in notes))
        return next(filter(None, whys), "")

    async def _publish_one(self, stream: JetStreamContext, note: Note, confirmed: set[str]) -> str:
        settings = self._settings
        try:
            await stream.publish(
                settings.subject,
                note.body,
                timeout=settings.timeout_seconds,
                stream=settings.stream,
                headers={ID_HEADER: note.id},
            )
        except Error as error:  # of this note: no stream, a full one, too large ...
            return str(error) or type(error).__name__
        confirmed.add(note.report)
        return ""

    async def close(self) -> None:
        if self._client is not None:
            client, self._client, self._stream = self._client, None, None
            await client.close()

    async def _note_error(self, error: Exception) -> None:
        self._error = error

    async def _note_end(self) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(self._error or ConnectionError("the connection ended"))


LINK = NatsLink
