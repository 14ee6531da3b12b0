"""The settings of the sinks: what all brokers need, and what each has of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from asyncmail import PluginSettings

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1)]


class BrokerSettings(PluginSettings):
    """``tls``: verified, with the system's authorities or those in the PEM file ``ca_file``.
    ``timeout_seconds``: for one list of results, from connecting to the last confirmation."""

    host: Name = "127.0.0.1"
    port: Port
    user: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca_file: Path | None = None
    timeout_seconds: float = Field(20.0, gt=0, le=80)

    @property
    def secret(self) -> str | None:
        """The password, in the clear."""
        return None if self.password is None else self.password.get_secret_value()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.ca_file is not None and not self.tls:
            raise ValueError("ca_file is of no use without tls = true")
        return self


class RedisSettings(BrokerSettings):
    """``[plugins.redis]``. ``stream``: the key; ``max_length``: about how many entries are kept, by
    default all."""

    port: Port = 6379
    db: int = Field(0, ge=0)
    stream: Name = "asyncmail.reports"
    max_length: int | None = Field(None, ge=1)


def _is_subject(subject: str) -> str:
    """NATS: tokens with full stops between; a subject to publish to has no wildcards."""
    tokens = subject.split(".")
    if not all(tokens) or not {"*", ">"}.isdisjoint(tokens) or any(map(str.isspace, subject)):
        raise ValueError("should be a subject without wildcards, blanks and empty tokens")
    return subject


class NatsSettings(BrokerSettings):
    """``[plugins.nats]``. ``subject``: a JetStream stream has to listen to it; ``stream``: refuse if it
    is another one than this."""

    port: Port = 4222
    subject: Annotated[str, AfterValidator(_is_subject)] = "asyncmail.reports"
    stream: Name | None = None


class RabbitMqSettings(BrokerSettings):
    """``[plugins.rabbitmq]``. ``exchange``: has to exist; "" is the default exchange, for which the
    ``routing_key`` is the name of a queue. Without ``user`` and ``password``: guest, as a broker that
    was just installed knows it."""

    port: Port = 5672
    vhost: Name = "/"
    exchange: str = ""
    routing_key: Name = "asyncmail.reports"


def _is_topic(topic: str) -> str:
    """MQTT 4.7: a topic to publish to has no wildcards."""
    if not {"+", "#", "\0"}.isdisjoint(topic):
        raise ValueError("should be a topic without wildcards")
    return topic


class MqttSettings(BrokerSettings):
    """``[plugins.mqtt]``. ``need_subscriber``: a result that the broker has nobody for is not done
    with, but offered again. ``client_id``: by default the broker's choice."""

    port: Port = 1883
    topic: Annotated[Name, AfterValidator(_is_topic)] = "asyncmail/reports"
    client_id: Name | None = None
    need_subscriber: bool = True
