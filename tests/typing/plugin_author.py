"""What a plugin author writes, one extension of each kind; checked by mypy --strict, never run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asyncmail import (
    Ack,
    AttachmentSource,
    Attempt,
    Context,
    Event,
    Filter,
    Observer,
    Offer,
    PluginSettings,
    Rejected,
    Retention,
    Sink,
    Transport,
    Validator,
    hookimpl,
)
from asyncmail.model import (
    Account,
    Attachment,
    AttachmentReference,
    Delivery,
    Disposition,
    Envelope,
    Message,
    Report,
)


class Settings(PluginSettings):
    word: str = "free"


class NoWord(Validator):
    def __init__(self, word: str) -> None:
        self._word = word

    async def validate(self, message: Message, account: Account) -> Iterable[str] | None:
        if self._word in message.subject:
            raise Rejected(f"subject says {self._word}")
        return None


class Same(Filter):
    async def apply(self, data: bytes, message: Message, account: Account) -> bytes:
        return data


class Empty(AttachmentSource):
    def handles(self, reference: AttachmentReference) -> bool:
        return reference.storage_path.startswith("empty:")

    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        return Attachment(b"")


class Nowhere(Transport):
    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        attempt.begin()
        await attempt.before_dot()
        return Delivery.of_all(envelope.recipients, Disposition.ACCEPTED)


class Ear(Sink):
    async def deliver(self, reports: Sequence[Report]) -> Ack:
        return Ack(accepted=frozenset(report.id for report in reports))


class Ever(Retention):
    def cutoff(self, now: float, account_id: str) -> float | None:
        return None


class Watcher(Observer):
    async def notice(self, event: Event) -> None:
        return None


def make_validator(settings: Settings, context: Context) -> NoWord:
    context.logger.info("made at %s", context.clock.wall())
    return NoWord(settings.word)


@hookimpl
def asyncmail_validators() -> Iterable[Offer[Validator]]:
    return [Offer("no-word", make_validator, settings=Settings)]


@hookimpl
def asyncmail_transports() -> Iterable[Offer[Transport]]:
    return [Offer("nowhere", lambda settings, context: Nowhere())]
