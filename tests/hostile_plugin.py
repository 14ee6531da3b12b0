"""A plugin with one extension of each kind, which misbehaves as its settings say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from asyncmail import (
    Ack,
    AttachmentSource,
    Context,
    Filter,
    Observer,
    Offer,
    PluginSettings,
    Retention,
    Sink,
    Transport,
    Validator,
    hookimpl,
)
from asyncmail.builtin.smtp import SmtpSettings, SmtpTransport
from asyncmail.model import Account, Attachment, AttachmentReference, Event, Message, Report
from asyncmail.testing.faults import Fault, Moment, faulty

NAME = "hostile"
boxed: Final[list[str]] = []  # what the sink got, over all services of a test


class HostileSettings(PluginSettings):
    """``fault``: none if it is to behave."""

    fault: Fault | None = None
    at: Moment = Moment.BEFORE


class Nod(Validator):
    async def validate(self, message: Message, account: Account) -> None:
        return None


class Pass(Filter):
    async def apply(self, data: bytes, message: Message, account: Account) -> bytes:
        return data


class Shelf(AttachmentSource):
    def handles(self, reference: AttachmentReference) -> bool:
        return reference.storage_path.startswith("shelf:")

    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        return Attachment(reference.storage_path.encode())


class Box(Sink):
    timeout = 30.0

    async def deliver(self, reports: Sequence[Report]) -> Ack:
        boxed.extend(report.id for report in reports)
        return Ack()


class Minute(Retention):
    def cutoff(self, now: float, account_id: str) -> float:
        return now - 60


class Look(Observer):
    async def notice(self, event: Event) -> None:
        return None


def _offers(make: Callable[[Context], Any]) -> Iterable[Offer[Any]]:
    def with_fault(settings: HostileSettings, context: Context) -> Any:
        made = make(context)
        if settings.fault is None:
            return made
        return faulty(made, settings.fault, at=settings.at, block_seconds=0.05)

    return [Offer(NAME, with_fault, HostileSettings)]


@hookimpl
def asyncmail_validators() -> Iterable[Offer[Validator]]:
    return _offers(lambda context: Nod())


@hookimpl
def asyncmail_filters() -> Iterable[Offer[Filter]]:
    return _offers(lambda context: Pass())


@hookimpl
def asyncmail_attachments() -> Iterable[Offer[AttachmentSource]]:
    return _offers(lambda context: Shelf())


@hookimpl
def asyncmail_transports() -> Iterable[Offer[Transport]]:
    return _offers(lambda context: SmtpTransport(SmtpSettings(), context))


@hookimpl
def asyncmail_sinks() -> Iterable[Offer[Sink]]:
    return _offers(lambda context: Box())


@hookimpl
def asyncmail_retention() -> Iterable[Offer[Retention]]:
    return _offers(lambda context: Minute())


@hookimpl
def asyncmail_observers() -> Iterable[Offer[Observer]]:
    return _offers(lambda context: Look())
