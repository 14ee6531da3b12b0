"""The sink keeps the promises that every sink has to keep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from webhook_receiver import SECRET

from asyncmail.testing import HttpReceiver, Manner, Post, ReportReceiver, SinkSuite


class Hooks(HttpReceiver):
    """Takes a report per POST, and notes those that it confirms."""

    def __init__(self, server: ReportReceiver) -> None:
        super().__init__(server)
        self._confirmed: list[str] = []

    async def behave(self, manner: Manner) -> None:
        await super().behave(manner)
        if manner is Manner.CONFIRMS:
            self.server.answer = self._confirm

    def _confirm(self, post: Post) -> None:
        self._confirmed.append(post.json()["data"]["id"])

    async def confirmed(self) -> Sequence[str]:
        return self._confirmed


class TestWebhook(SinkSuite):
    offer = "webhook"

    @pytest.fixture
    async def receiver(self) -> AsyncIterator[Hooks]:
        async with ReportReceiver() as server:
            yield Hooks(server)

    @pytest.fixture
    def settings(self, receiver: Hooks) -> Mapping[str, Any]:
        # Results of different messages may overtake each other; one at a time they cannot.
        return {"url": receiver.url, "secret": SECRET, "concurrency": 1}
