"""RabbitMQ: persistent, mandatory, and confirmed by the broker (publisher confirms)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPError, DeliveryError

from asyncmail_streams.link import Link
from asyncmail_streams.notes import Note
from asyncmail_streams.settings import RabbitMqSettings

GUEST = "guest"  # user and password of a broker that was just installed; from this machine only


class RabbitMqLink(Link):
    """A message that no queue takes comes back, and counts as refused."""

    failures = (AMQPError, RuntimeError)  # the latter: "writer is None" and the like

    def __init__(self, settings: RabbitMqSettings) -> None:
        self._settings = settings
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None

    async def open(self, tls: ssl.SSLContext | None) -> None:
        settings = self._settings
        self._connection = await aio_pika.connect(
            host=settings.host,
            port=settings.port,
            login=settings.user or GUEST,
            password=settings.secret or GUEST,
            virtualhost=settings.vhost,
            ssl=tls is not None,
            ssl_context=tls,
            timeout=settings.timeout_seconds,
            client_properties={"connection_name": "asyncmail"},
        )
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        name = settings.exchange
        self._exchange = await channel.get_exchange(name) if name else channel.default_exchange

    async def publish(self, notes: Sequence[Note], confirmed: set[str]) -> str:
        if self._exchange is None:
            raise ConnectionError("not connected")
        answers = await asyncio.gather(
            *(self._publish(self._exchange, note, confirmed) for note in notes),
            return_exceptions=True,
        )
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in errors:
            if not isinstance(error, DeliveryError):
                raise error
        return str(errors[0]) if errors else ""

    async def _publish(self, exchange: AbstractExchange, note: Note, confirmed: set[str]) -> None:
        message = aio_pika.Message(
            note.body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=note.id,
            app_id="asyncmail",
        )
        await exchange.publish(message, self._settings.routing_key, mandatory=True)
        confirmed.add(note.report)

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection, self._exchange = self._connection, None, None
            await connection.close()


LINK = RabbitMqLink
