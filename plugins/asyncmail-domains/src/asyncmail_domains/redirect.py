"""The transport ``redirect``: another transport brings every message to recipients of its own choice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from email.header import Header
from typing import Annotated

from pydantic import AfterValidator, Field

from asyncmail import Attempt, Context, PluginSettings, Transport
from asyncmail.model import Account, Delivery, Disposition, Envelope, RecipientOutcome

_ADDRESS = re.compile(r'[^\s@<>"(),:;\\]+@[A-Za-z0-9.-]+')

# Which target speaks for all. Not knowing is never passed off as knowing; a copy that has arrived is not
# sent again for the sake of one that has not.
_ORDER = (
    Disposition.UNCERTAIN,
    Disposition.ACCEPTED,
    Disposition.TEMPORARY,
    Disposition.UNTRIED,
    Disposition.PERMANENT,
)


def _checked_address(text: str) -> str:
    if not (text.isascii() and _ADDRESS.fullmatch(text)):
        raise ValueError(f"{text!r} should be a plain address such as qa@example.org")
    return text


class RedirectSettings(PluginSettings):
    """``[plugins.redirect]``. ``recipients``: who gets all mail. ``transport``: who brings it there.
    ``header``: the field that names the original recipients, one line for each."""

    recipients: tuple[Annotated[str, AfterValidator(_checked_address)], ...] = Field(
        min_length=1, max_length=100
    )
    transport: str = "smtp"
    header: str = Field("X-Original-To", pattern=r"^[A-Za-z0-9-]{1,60}$")


class RedirectTransport(Transport):
    """Hands each envelope over with the recipients replaced; the original ones share one outcome."""

    def __init__(self, settings: RedirectSettings, context: Context) -> None:
        self._targets = tuple(dict.fromkeys(settings.recipients))
        self._header = settings.header
        self._log = context.logger
        self._inner = context.transport(settings.transport)

    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        lines = (_line(self._header, recipient) for recipient in envelope.recipients)
        redirected = replace(
            envelope, recipients=self._targets, data=b"".join((*lines, envelope.data))
        )
        delivery = await self._inner.send(redirected, account, attempt)
        if sorted(outcome.recipient for outcome in delivery.outcomes) != sorted(self._targets):
            raise ValueError("the other transport answered for other recipients than it was given")
        spokesman = min(delivery.outcomes, key=lambda outcome: _ORDER.index(outcome.disposition))
        if spokesman.disposition is Disposition.ACCEPTED:
            self._log_missing(envelope, delivery.outcomes)
        outcomes = tuple(
            replace(spokesman, recipient=original, text=_words(spokesman))
            for original in envelope.recipients
        )
        return replace(delivery, outcomes=outcomes)

    def _log_missing(self, envelope: Envelope, outcomes: Sequence[RecipientOutcome]) -> None:
        """The message counts as sent with one copy delivered, but nobody should have to guess."""
        for outcome in outcomes:
            if outcome.disposition is not Disposition.ACCEPTED:
                self._log.warning(
                    "message '%s': no copy for %s: %s",
                    envelope.message_id,
                    outcome.recipient,
                    outcome.describe(),
                )


def _line(name: str, recipient: str) -> bytes:
    """One header field; what is not ASCII is encoded (RFC 2047), for the targets' server may not
    take it otherwise."""
    if recipient.isascii():
        return f"{name}: {recipient}\r\n".encode()
    encoded = Header(recipient, "utf-8", header_name=name).encode(linesep="\r\n")
    return f"{name}: {encoded}\r\n".encode()


def _words(outcome: RecipientOutcome) -> str:
    return f"{outcome.text} (redirected to {outcome.recipient})".strip()
