"""MQTT 5: QoS 1, each confirmed by a PUBACK that says that the broker took it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiomqtt import MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from asyncmail_streams.link import Link, while_open
from asyncmail_streams.mqtt_client import AnsweredClient
from asyncmail_streams.notes import Note
from asyncmail_streams.settings import MqttSettings

NO_SUBSCRIBERS = 0x10  # MQTT 5, 3.4.2.1: taken, and nobody there to pass it on to


class MqttLink(Link):
    failures = (MqttError,)

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._client: AnsweredClient | None = None
        self._ended: asyncio.Task[Exception] | None = None
        self._stack = AsyncExitStack()

    async def open(self, tls: ssl.SSLContext | None) -> None:
        settings = self._settings
        self._client = AnsweredClient(
            settings.host,
            settings.port,
            username=settings.user,
            password=settings.secret,
            identifier=settings.client_id,
            tls_context=tls,
            timeout=settings.timeout_seconds,
            logger=logging.getLogger("asyncmail.plugin.mqtt.aiomqtt"),
        )
        await self._stack.enter_async_context(self._client)
        self._ended = asyncio.create_task(self._client.ended())

    async def publish(self, notes: Sequence[Note], confirmed: set[str]) -> str:
        if self._client is None or self._ended is None:
            raise ConnectionError("not connected")
        work = self._publish(self._client, notes, confirmed)
        return await while_open(work, self._ended)

    async def _publish(
        self, client: AnsweredClient, notes: Sequence[Note], confirmed: set[str]
    ) -> str:
        answers = [
            client.send(self._settings.topic, note.body, _properties(note)) for note in notes
        ]
        why = ""
        for note, answer in zip(notes, answers, strict=True):
            code = await answer
            alone = code.value == NO_SUBSCRIBERS and self._settings.need_subscriber
            if code.is_failure or alone:
                why = why or f"PUBACK says: {code}"
            else:
                confirmed.add(note.report)
        return why

    async def close(self) -> None:
        client, self._client = self._client, None
        if self._ended is not None:
            self._ended.cancel()
            self._ended = None
        if client is not None:
            client.hang_up()
        await self._stack.aclose()


def _properties(note: Note) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.UserProperty = ("id", note.id)
    return properties


LINK = MqttLink
