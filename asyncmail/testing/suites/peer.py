"""The other side of a transport: who takes the messages, and how it misbehaves on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from asyncmail.model import Account, Tls
from asyncmail.testing import samples
from asyncmail.testing.faultsmtp import FaultSMTP, Profile


class Behaviour(StrEnum):
    """What the peer does with a message for an address."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"  # for good
    DEFERS = "defers"  # for now
    DROPS = "drops"  # the connection ends before the message was handed over
    LOSES_REPLY = "loses reply"  # takes the message; the connection ends before the reply
    HANGS = "hangs"  # before the message was handed over
    HANGS_AFTER = "hangs after"  # after the message was handed over, without a reply


@dataclass(frozen=True, slots=True)
class Received:
    """A message as the peer has it. ``data``: with whatever the transport puts around the body."""

    recipients: tuple[str, ...]
    data: bytes


class Peer(ABC):
    """Plays the other side of a transport. ``account`` is what leads there."""

    account: Account

    @abstractmethod
    def address(self, name: str, behaviour: Behaviour) -> str:
        """An address, different for each name, at which the peer behaves like that."""

    @abstractmethod
    async def received(self) -> Sequence[Received]:
        """Everything that it has taken until now."""


class SmtpPeer(Peer):
    """``FaultSMTP``, with a login: what transports have as their peer unless they override it."""

    _SCRIPTS = {  # noqa: RUF012 - never changed
        Behaviour.ACCEPTS: "",
        Behaviour.REFUSES: "+rcpt.550",
        Behaviour.DEFERS: "+rcpt.451",
        Behaviour.DROPS: "+data.drop",
        Behaviour.LOSES_REPLY: "+dot.accept.drop",
        Behaviour.HANGS: "+data.hang",
        Behaviour.HANGS_AFTER: "+dot.accept.hang",
    }

    def __init__(self, server: FaultSMTP) -> None:
        self.server = server
        self.account = Account(
            "suite",
            server.host,
            server.port,
            user="suite",
            password=samples.PASSWORD,
            tls=Tls.NONE,
        )

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[SmtpPeer]:
        """A peer inside the block; behind it, the client must have kept to the protocol."""
        profile = Profile(auth=("suite", samples.PASSWORD), clear_auth=True)
        async with FaultSMTP(profile=profile) as server:
            yield cls(server)
            server.assert_clean()

    def address(self, name: str, behaviour: Behaviour) -> str:
        return f"{name}{self._SCRIPTS[behaviour]}@fault.example"

    async def received(self) -> Sequence[Received]:
        return [Received(copy.recipients, copy.data) for copy in self.server.accepted]
