"""Redis streams: XADD, one entry for each result, in one pipeline."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from asyncmail_streams.link import Link
from asyncmail_streams.notes import Note
from asyncmail_streams.settings import RedisSettings


class RedisLink(Link):
    """An entry has the fields ``id`` and ``report``. Redis confirms with the id of the entry."""

    failures = (RedisError,)

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._redis: Redis | None = None

    async def open(self, tls: ssl.SSLContext | None) -> None:
        settings = self._settings
        self._redis = Redis(
            host=settings.host,
            port=settings.port,
            db=settings.db,
            username=settings.user,
            password=settings.secret,
            ssl=tls is not None,
            ssl_ca_certs=None if settings.ca_file is None else str(settings.ca_file),
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),  # a repeat by the library would be a second entry
            client_name="asyncmail",
        )

    async def publish(self, notes: Sequence[Note], confirmed: set[str]) -> str:
        if self._redis is None:
            raise ConnectionError("not connected")
        why = ""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for note in notes:
                pipeline.xadd(
                    self._settings.stream,
                    {"id": note.id, "report": note.body},
                    maxlen=self._settings.max_length,
                )
            answers = await pipeline.execute(raise_on_error=False)
        for note, answer in zip(notes, answers, strict=True):
            if isinstance(answer, Exception):
                why = why or str(answer)
            else:
                confirmed.add(note.report)
        return why

    async def close(self) -> None:
        if self._redis is not None:
            redis, self._redis = self._redis, None
            await redis.aclose()


LINK = RedisLink
