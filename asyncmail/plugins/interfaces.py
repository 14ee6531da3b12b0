"""What a plugin implements: one small base class per kind, and the ``Offer`` that announces it.

An extension gets frozen values and answers with values. It never sees the store, so the worst it can
do is to answer nothing, late or nonsense; the guard gives each of these a defined outcome.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from asyncmail.clock import Clock
from asyncmail.model import (
    Account,
    Attachment,
    AttachmentReference,
    Delivery,
    Envelope,
    Event,
    Message,
    OnUncertain,
    Report,
    RetiredMessage,
)


class PluginSettings(BaseModel):
    """Base of a plugin's settings model: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Context(Protocol):
    """What the service lends an extension when it is made."""

    @property
    def clock(self) -> Clock:
        """The service's time."""

    @property
    def logger(self) -> logging.Logger:
        """A logger named after the extension; secrets are masked on their way out."""

    def transport(self, name: str) -> Transport:
        """Another configured transport, to hand messages over to; cycles are refused."""


class Extension(ABC):  # noqa: B024 - the kinds below have the abstract methods
    """What all kinds share. ``start`` and ``stop`` run once each, in the service's event loop.

    I/O belongs here, not in ``__init__``: making an extension must be free of effects, since
    ``asyncmail check`` makes them all.
    """

    async def start(self) -> None:
        """Open what the extension needs. An error here stops the service from starting."""

    async def stop(self) -> None:
        """Close what ``start`` opened; called even after failures."""


class Validator(Extension):
    """Says whether a message may be accepted. Runs before the message is stored."""

    @abstractmethod
    async def validate(self, message: Message, account: Account) -> Iterable[str] | None:
        """Raise ``Rejected(reason)`` to refuse; return warnings for the client, or nothing.

        Any other exception rejects this message alone. Not answering within a second fails the whole
        request with 503, so that the client sends it again.
        """


class Filter(Extension):
    """Changes the finished bytes of a message before its transport gets them (a signature, say)."""

    @abstractmethod
    async def apply(self, data: bytes, message: Message, account: Account) -> bytes:
        """Return the bytes to send: CRLF lines of at most 998 octets, the same for the same message
        on every attempt. An exception is a temporary failure of the attempt. Deadline: 10 seconds.
        """


class Observer(Extension):
    """Is told what happened, after the commit; it can neither veto nor delay."""

    @abstractmethod
    async def notice(self, event: Event) -> None:
        """Take note of an event. Deadline: 1 second; failures are logged and counted. Events come
        one after the other, in the order of their commits."""


class AttachmentSource(Extension):
    """Fetches the content of attachments that a message only names."""

    @abstractmethod
    def handles(self, reference: AttachmentReference) -> bool:
        """Whether this reference is this source's; the first configured source that says yes gets it."""

    @abstractmethod
    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        """Return the content, or raise ``AttachmentError``. Deadline: 60 seconds."""


class Attempt(Protocol):
    """One attempt at sending, as its transport sees it."""

    @property
    def number(self) -> int:
        """1 for the first."""

    @property
    def on_uncertain(self) -> OnUncertain:
        """What happens if nobody will know whether the message was taken."""

    def begin(self) -> None:
        """To be called right before the first bytes about the message leave (in SMTP: MAIL).

        Raises ``AttemptRevoked`` when sending was suspended or the service is stopping. Until then
        the message counts as not started and may be taken back.
        """

    async def before_dot(self) -> None:
        """To be awaited once, right before the bytes that hand the message over (in SMTP: the dot).

        Raises ``AttemptRevoked`` if the message must not be handed over now. Failures before it
        returned are retried as a matter of course; failures after it are *uncertain*.
        """

    def progress(self) -> None:
        """Say that the peer is still moving. A transport silent for 11 minutes is cancelled."""


class Transport(Extension):
    """Hands a finished message over to whoever brings it on."""

    @abstractmethod
    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        """Send and return one outcome per recipient of the envelope; failures are outcomes too."""

    def connections(self) -> dict[str, int]:
        """How many connections are ``busy`` and ``idle``; for the metrics."""
        return {}


class _All:
    """The type of ``ALL``."""

    def __repr__(self) -> str:
        return "ALL"


ALL: Final = _All()


@dataclass(frozen=True, slots=True)
class Ack:
    """A sink's answer to a list of reports.

    ``accepted``: ``ALL`` or the ids taken; ``retry``: ids withheld from the acknowledgement.
    ``again``: the receiver has more to say, call at once. ``not_before``: it wants no call before
    this time (wall seconds).
    """

    accepted: _All | frozenset[str] = ALL
    retry: frozenset[str] = frozenset()
    again: bool = False
    not_before: float | None = None


class Sink(Extension):
    """Brings results back to the application.

    ``max_batch``: most reports per call. ``timeout``: seconds a call may take. ``poll_seconds``: call
    with an empty list at start, on run-now and when idle that long; ``None``: never.
    """

    max_batch: int = 1000
    timeout: float = 90.0
    poll_seconds: float | None = None

    @abstractmethod
    async def deliver(self, reports: Sequence[Report]) -> Ack:
        """Deliver, and say what is acknowledged; raise ``SinkUnavailable`` or ``SinkRefused`` else."""


class Retention(Extension):
    """Decides how long finished messages are kept. The deleting is the core's alone."""

    @abstractmethod
    def cutoff(self, now: float, account_id: str) -> float | None:
        """Messages reported before this time (wall seconds) may go; ``None`` abstains, -inf keeps all."""

    async def release(self, records: Sequence[RetiredMessage]) -> Iterable[str]:
        """Called with what is about to be deleted; return the ids that may go. Default: all."""
        return [record.id for record in records]


ExtensionT = TypeVar("ExtensionT", bound=Extension)


@dataclass(frozen=True)
class Offer(Generic[ExtensionT]):
    """A named extension that a plugin can make.

    ``make(settings, context)`` gets the validated settings from ``[plugins.<name>]`` and must have no
    effects. ``settings`` is the model those are checked with.
    """

    name: str
    make: Callable[[Any, Context], ExtensionT]
    settings: type[BaseModel] = PluginSettings
