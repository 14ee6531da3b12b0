"""The validator ``dkim``: a message that the filter could not sign is refused, not left waiting."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import Context, Rejected, Validator
from asyncmail.model import Account, Message
from asyncmail_dkim import canonical
from asyncmail_dkim.choice import Choice, from_domain
from asyncmail_dkim.settings import DkimSettings, KeySettings, Unsigned


def _itself(settings: KeySettings) -> KeySettings:
    return settings


class DkimValidator(Validator):
    """Refuses where ``unsigned`` is ``fail`` and no key is for the message; has no say otherwise."""

    def __init__(self, settings: DkimSettings, context: Context) -> None:
        self._refuses = settings.unsigned is Unsigned.FAIL
        self._choose = Choice(settings.keys, _itself)

    async def validate(self, message: Message, account: Account) -> Iterable[str] | None:
        if self._refuses:
            domain: str | None = message.sender.domain
            if message.raw is not None:
                domain = from_domain(message.raw[: canonical.header_end(message.raw)])
            if not self._choose(domain, account.id):
                raise Rejected(f"no DKIM key for From in {domain or 'no domain'}")
        return None
