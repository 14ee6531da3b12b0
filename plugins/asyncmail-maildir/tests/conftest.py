"""What the tests share: the transport in a temporary root, and an attempt that notes what it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from asyncmail_maildir import MaildirSettings, MaildirTransport

from asyncmail import Transport
from asyncmail.model import Envelope, OnUncertain
from asyncmail.testing import ManualClock


class LoneContext:
    """What a service lends its extensions, for one that stands alone."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.logger = logging.getLogger("asyncmail.maildir")

    def transport(self, name: str) -> Transport:
        raise LookupError(name)


class NotingAttempt:
    """Notes the calls in order; ``at_dot`` runs inside ``before_dot`` and may raise."""

    def __init__(self, at_dot: Callable[[], None] = lambda: None) -> None:
        self.number = 1
        self.on_uncertain = OnUncertain.RETRY
        self.calls: list[str] = []
        self._at_dot = at_dot

    def begin(self) -> None:
        self.calls.append("begin")

    async def before_dot(self) -> None:
        self.calls.append("before_dot")
        self._at_dot()

    def progress(self) -> None:
        self.calls.append("progress")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
async def transport(root: Path) -> MaildirTransport:
    made = MaildirTransport(MaildirSettings(root=root), LoneContext())
    await made.start()
    return made


@pytest.fixture
def attempt() -> Callable[..., NotingAttempt]:
    return NotingAttempt


@pytest.fixture
def envelope() -> Callable[..., Envelope]:
    def make(*recipients: str, sender: str = "app@app.test") -> Envelope:
        data = b"Message-ID: <m1@app.test>\r\nSubject: hello\r\n\r\nline one\r\n.line two\r\n"
        return Envelope("m1", sender, recipients, data)

    return make
