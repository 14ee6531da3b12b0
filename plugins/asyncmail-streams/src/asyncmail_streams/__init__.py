"""Sinks for asyncmail that report results to Redis streams, NATS JetStream, RabbitMQ and MQTT."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from asyncmail import Context, Offer, Sink, hookimpl
from asyncmail_streams.extras import link_class
from asyncmail_streams.settings import (
    BrokerSettings,
    MqttSettings,
    NatsSettings,
    RabbitMqSettings,
    RedisSettings,
)
from asyncmail_streams.sink import BrokerSink

__all__ = [
    "BrokerSettings",
    "BrokerSink",
    "MqttSettings",
    "NatsSettings",
    "RabbitMqSettings",
    "RedisSettings",
]


@hookimpl
def asyncmail_sinks() -> Iterable[Offer[Sink]]:
    return (
        Offer("redis", _maker("redis"), settings=RedisSettings),
        Offer("nats", _maker("nats"), settings=NatsSettings),
        Offer("rabbitmq", _maker("rabbitmq"), settings=RabbitMqSettings),
        Offer("mqtt", _maker("mqtt"), settings=MqttSettings),
    )


def _maker(broker: str) -> Callable[[BrokerSettings, Context], Sink]:
    """The library of a broker is imported when its sink is made, since it may not be installed."""

    def make(settings: BrokerSettings, context: Context) -> Sink:
        return BrokerSink(broker, link_class(broker)(settings), settings, context)

    return make
