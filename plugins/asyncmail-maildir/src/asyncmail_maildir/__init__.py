"""A transport for asyncmail that writes mail to Maildirs instead of sending it."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import Offer, Transport, hookimpl
from asyncmail_maildir.transport import MaildirSettings, MaildirTransport

__all__ = ["MaildirSettings", "MaildirTransport"]


@hookimpl
def asyncmail_transports() -> Iterable[Offer[Transport]]:
    return (Offer("maildir", MaildirTransport, settings=MaildirSettings),)
