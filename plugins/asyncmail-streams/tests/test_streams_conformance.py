"""Each sink keeps the promises that every sink has to keep, against the real broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from receivers import BrokerReceiver

from asyncmail.testing import SinkSuite


class BrokerSuite(SinkSuite):
    @pytest.fixture
    def broker_name(self) -> str:
        assert isinstance(self.offer, str)
        return self.offer

    @pytest.fixture
    def receiver(self, receiver: BrokerReceiver) -> BrokerReceiver:  # type: ignore[override]
        return receiver

    @pytest.fixture
    def settings(self, receiver: BrokerReceiver) -> Mapping[str, Any]:
        return receiver.settings


class TestRedis(BrokerSuite):
    offer = "redis"


class TestNats(BrokerSuite):
    offer = "nats"


class TestRabbitMq(BrokerSuite):
    offer = "rabbitmq"


class TestMqtt(BrokerSuite):
    offer = "mqtt"
