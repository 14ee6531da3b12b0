"""The other side of each sink: reads back, with a client of its own, what a broker has stored."""

from __future__ import annotations

import asyncio
import json
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aio_pika
import aiomqtt
import nats
import redis.asyncio
from brokers import HOST, Fate, Relay

from asyncmail.testing import Manner, Receiver

WAIT_SECONDS = 10.0
FATES = {
    Manner.FAILS: Fate.CUT_BEFORE,
    Manner.LOSES_REPLY: Fate.CUT_AFTER,
    Manner.HANGS: Fate.SILENCE,
}


class BrokerReceiver(Receiver):
    """A broker behind a relay. ``settings``: of the sink; ``bodies``: what arrived, in order."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.name = f"asyncmail-test-{uuid.uuid4().hex}"

    @classmethod
    @asynccontextmanager
    async def running(cls, port: int) -> AsyncIterator[Self]:
        async with Relay.running(port) as relay:
            receiver = cls(relay)
            await receiver.open(port)
            try:
                yield receiver
            finally:
                await receiver.close()

    @property
    def settings(self) -> dict[str, Any]:
        return {"host": HOST, "port": self.relay.port, **self.own_settings}

    async def behave(self, manner: Manner) -> None:
        self.relay.fate = FATES.get(manner, Fate.ARRIVES)
        await self.refuse(manner is Manner.REFUSES)

    async def confirmed(self) -> Sequence[str]:
        return [str(json.loads(body)["id"]) for body in await self.bodies()]

    @property
    @abstractmethod
    def own_settings(self) -> dict[str, Any]: ...

    @abstractmethod
    async def open(self, port: int) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def refuse(self, refuse: bool) -> None: ...

    @abstractmethod
    async def bodies(self) -> list[bytes]: ...


class RedisReceiver(BrokerReceiver):
    """Refuses by having something else than a stream under the key."""

    async def open(self, port: int) -> None:
        self.client = redis.asyncio.Redis(host=HOST, port=port)
        self.refusing = False

    async def close(self) -> None:
        await self.client.delete(self.name)
        await self.client.aclose()

    @property
    def own_settings(self) -> dict[str, Any]:
        return {"stream": self.name}

    async def refuse(self, refuse: bool) -> None:
        if refuse:
            await self.client.set(self.name, "not a stream")
        elif self.refusing:
            await self.client.delete(self.name)
        self.refusing = refuse

    async def entries(self) -> list[dict[bytes, bytes]]:
        return [fields for _, fields in await self.client.xrange(self.name)]

    async def bodies(self) -> list[bytes]:
        return [entry[b"report"] for entry in await self.entries()]


class NatsReceiver(BrokerReceiver):
    """Refuses by having a stream for messages of one byte at most."""

    async def open(self, port: int) -> None:
        self.client = await nats.connect(f"nats://{HOST}:{port}", allow_reconnect=False)
        self.stream = self.client.jetstream()
        await self.stream.add_stream(name=self.name, subjects=[f"{self.name}.>"], max_msg_size=-1)

    async def close(self) -> None:
        await self.stream.delete_stream(self.name)
        await self.client.close()

    @property
    def own_settings(self) -> dict[str, Any]:
        return {"subject": f"{self.name}.reports", "stream": self.name}

    async def refuse(self, refuse: bool) -> None:
        config = (await self.stream.stream_info(self.name)).config
        await self.stream.update_stream(config, max_msg_size=1 if refuse else -1)

    async def messages(self) -> list[Any]:
        state = (await self.stream.stream_info(self.name)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        return [await self.stream.get_msg(self.name, number) for number in numbers]

    async def bodies(self) -> list[bytes]:
        return [message.data or b"" for message in await self.messages()]


class RabbitMqReceiver(BrokerReceiver):
    """Refuses by binding no queue to the exchange."""

    async def open(self, port: int) -> None:
        self.connection = await aio_pika.connect(host=HOST, port=port)
        self.channel = await self.connection.channel()
        self.exchange = await self.channel.declare_exchange(self.name, auto_delete=False)
        self.queue = await self.channel.declare_queue(self.name)
        await self.queue.bind(self.exchange, "reports")
        self.messages: list[Any] = []

    async def close(self) -> None:
        await self.queue.delete(if_unused=False, if_empty=False)
        await self.exchange.delete()
        await self.connection.close()

    @property
    def own_settings(self) -> dict[str, Any]:
        return {"exchange": self.name, "routing_key": "reports"}

    async def refuse(self, refuse: bool) -> None:
        change = self.queue.unbind if refuse else self.queue.bind
        await change(self.exchange, "reports")

    async def bodies(self) -> list[bytes]:
        while message := await self.queue.get(no_ack=True, fail=False):
            self.messages.append(message)
        return [message.body for message in self.messages]


class MqttReceiver(BrokerReceiver):
    """Refuses by not being there: without a subscriber a result is not done with."""

    async def open(self, port: int) -> None:
        self.client = aiomqtt.Client(HOST, port, protocol=aiomqtt.ProtocolVersion.V5)
        await self.client.__aenter__()
        self.client.pending_calls_threshold = 100
        await self.client.subscribe(self.name, qos=1)
        self.subscribed = True
        self.messages: list[aiomqtt.Message] = []

    async def close(self) -> None:
        await self.client.__aexit__(None, None, None)

    @property
    def own_settings(self) -> dict[str, Any]:
        return {"topic": self.name}

    async def refuse(self, refuse: bool) -> None:
        if refuse and self.subscribed:
            await self.client.unsubscribe(self.name)
        elif not refuse and not self.subscribed:
            await self.client.subscribe(self.name, qos=1)
        self.subscribed = not refuse

    async def bodies(self) -> list[bytes]:
        """Up to a message of our own that stands behind all others."""
        end = uuid.uuid4().hex.encode()
        await self.client.publish(self.name, end, qos=1)
        async with asyncio.timeout(WAIT_SECONDS):
            async for message in self.client.messages:
                if message.payload == end:
                    break
                self.messages.append(message)
        return [bytes(message.payload) for message in self.messages]  # type: ignore[arg-type]


RECEIVERS: dict[str, type[BrokerReceiver]] = {
    "redis": RedisReceiver,
    "nats": NatsReceiver,
    "rabbitmq": RabbitMqReceiver,
    "mqtt": MqttReceiver,
}
