"""Filter and validator keep the promises that all of their kinds have to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from dkim_world import World

from asyncmail.model import Message
from asyncmail.testing import FilterSuite, ValidatorSuite, samples


class TestFilter(FilterSuite):
    offer = "dkim"

    @pytest.fixture
    def settings(self, world: World) -> Mapping[str, Any]:
        return {"keys": world.settings, "unsigned": "fail"}


class TestValidator(ValidatorSuite):
    offer = "dkim"

    @pytest.fixture
    def settings(self, world: World) -> Mapping[str, Any]:
        return {"keys": world.settings, "unsigned": "fail"}

    @pytest.fixture
    def rejected(self) -> Sequence[Message]:
        raw = b"From: <a@elsewhere.test>\r\nTo: b@customer.test\r\n\r\nhello\r\n"
        return [
            samples.message(**{"from": "orders@elsewhere.test"}),
            samples.message(**{"from": "orders@news.shop.test"}),
            replace(samples.message(), raw=raw),
        ]
