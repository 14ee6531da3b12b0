"""The transport ``maildir``: every recipient's copy is written, then all of them appear."""

from __future__ import annotations

import asyncio
from pathlib import Path

from asyncmail import Attempt, Context, PluginSettings, Transport
from asyncmail.model import Account, Delivery, Disposition, Envelope, RecipientOutcome
from asyncmail_maildir.folder import folder_name
from asyncmail_maildir.maildir import Draft, discard, publish, sync_folder, write_draft


class MaildirSettings(PluginSettings):
    """``[plugins.maildir]``. ``root``: the folder that holds a Maildir per recipient."""

    root: Path


class MaildirTransport(Transport):
    """Delivers to ``root/<recipient>/new``; the account only has to name the transport."""

    def __init__(self, settings: MaildirSettings, context: Context) -> None:
        self._root = settings.root
        self._clock = context.clock

    async def start(self) -> None:
        """Make the root, so that one that cannot be made stops the start instead of each message."""
        await asyncio.to_thread(self._root.mkdir, mode=0o700, parents=True, exist_ok=True)

    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        attempt.begin()
        written = await asyncio.to_thread(self._write, envelope)
        drafts = {who: draft for who, draft in written.items() if isinstance(draft, Draft)}
        outcomes = {who: _failed(who, e) for who, e in written.items() if isinstance(e, OSError)}
        if drafts:
            try:
                await attempt.before_dot()
            except BaseException:
                await asyncio.to_thread(_discard_all, list(drafts.values()))
                raise
            outcomes |= await asyncio.to_thread(_publish_all, drafts)
        return Delivery(tuple(outcomes[recipient] for recipient in envelope.recipients))

    def _write(self, envelope: Envelope) -> dict[str, Draft | OSError]:
        """A draft per recipient, or what kept it from being written."""
        written: dict[str, Draft | OSError] = {}
        body = envelope.data.replace(b"\r\n", b"\n")
        for recipient in envelope.recipients:
            # What a final delivery adds (RFC 5321 4.4).
            trace = f"Return-Path: <{envelope.sender}>\nDelivered-To: {recipient}\n".encode()
            try:
                maildir = self._root / folder_name(recipient)
                written[recipient] = write_draft(maildir, trace + body, self._clock.wall())
            except OSError as error:
                written[recipient] = error
        return written


def _publish_all(drafts: dict[str, Draft]) -> dict[str, RecipientOutcome]:
    return {recipient: _publish(recipient, draft) for recipient, draft in drafts.items()}


def _publish(recipient: str, draft: Draft) -> RecipientOutcome:
    try:
        target = publish(draft)
    except OSError as error:
        discard(draft)
        return _failed(recipient, error)
    try:
        sync_folder(target.parent)
    except OSError as error:  # readers see it now; after a power cut they may not
        text = f"maildir: written, but not known to be durable: {error}"
        return RecipientOutcome(recipient, Disposition.UNCERTAIN, text=text)
    return RecipientOutcome(recipient, Disposition.ACCEPTED, text=f"maildir: {target.name}")


def _discard_all(drafts: list[Draft]) -> None:
    for draft in drafts:
        discard(draft)


def _failed(recipient: str, error: OSError) -> RecipientOutcome:
    return RecipientOutcome(recipient, Disposition.TEMPORARY, text=f"maildir: {error}")
