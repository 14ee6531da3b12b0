"""A sabotaged ``asyncmail``: a message is recorded as sent before it is handed over."""

from __future__ import annotations

from typing import Any

from asyncmail.__main__ import main
from asyncmail.model import Account, Delivery, Disposition, Envelope
from asyncmail.plugins.interfaces import Attempt
from asyncmail.smtp.sender import Sender


async def _boasting(self: Any, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
    attempt.begin()
    await attempt.before_dot()
    return Delivery.of_all(envelope.recipients, Disposition.ACCEPTED, "taken, surely")


if __name__ == "__main__":
    Sender.send = _boasting  # type: ignore[method-assign]
    main()
