"""The whole message: its header, the structure of its body, and the boundaries between parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

from asyncmail.errors import BuildError
from asyncmail.mime import headers, parts, raw, words
from asyncmail.mime.parts import Part
from asyncmail.model import Attachment, Message

_METHOD = re.compile(r"^METHOD:([A-Z0-9-]{1,40})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


def build(message: Message, attachments: Sequence[Attachment]) -> bytes:
    """The bytes of a message, with CRLF lines of at most 998 octets, all of them 7-bit unless a
    mailbox or ``raw`` is not; the same bytes every time.

    ``attachments`` holds the contents of ``message.attachments``, in order. Raises ``BuildError``.
    """
    try:
        _check(message, attachments)
        if message.raw is not None:
            return raw.complete(message, message.raw)
        return b"".join([_header(message).encode(), *_body(message, attachments)])
    except (ValueError, OverflowError, OSError) as error:  # the last two: a time without a date
        raise BuildError(f"message {message.id!a} cannot be built: {error}") from error


def _check(message: Message, attachments: Sequence[Attachment]) -> None:
    """What a message made from a payload keeps anyway, for those that were made otherwise."""
    if len(attachments) != len(message.attachments):
        raise ValueError(f"{len(attachments)} contents for {len(message.attachments)} attachments")
    if not message.message_id:
        raise ValueError("it has no message_id")
    shown = [message.message_id, message.subject, message.sender.display, message.sender.spec]
    for mailboxes in (message.to, message.cc, message.reply_to):
        for mailbox in mailboxes:
            shown += (mailbox.display, mailbox.spec)
    if words.has_controls("".join(shown)):
        raise ValueError("control characters in a header")
    for name, value in message.headers:
        headers.check_custom_name(name)
        words.read(value)


def _header(message: Message) -> str:
    """All but the content's own header. Bcc is not even looked at."""
    lines = [
        f"Date: {headers.date(message.created_ts)}\r\nMessage-ID: {message.message_id}\r\n",
        headers.addresses("From", (message.sender,)),
        headers.addresses("To", message.to) if message.to else "To: undisclosed-recipients:;\r\n",
    ]
    if message.cc:
        lines.append(headers.addresses("Cc", message.cc))
    if message.reply_to:
        lines.append(headers.addresses("Reply-To", message.reply_to))
    lines.append(headers.text("Subject", message.subject))
    lines += [headers.custom(name, value) for name, value in message.headers]
    lines.append("MIME-Version: 1.0\r\n")
    return "".join(lines)


def _body(message: Message, attachments: Sequence[Attachment]) -> Part:
    """mixed(alternative(text, related(html, images), calendar), files), without what is not needed."""
    boundary = _boundary(message)
    images: list[Part] = []
    files: list[Part] = []
    for reference, given in zip(message.attachments, attachments, strict=True):
        shown = reference.content_id is not None and message.html is not None
        (images if shown else files).append(parts.attachment(reference, given))
    contents = _contents(message, boundary, images)
    if len(contents) > 1:
        contents = [parts.multipart("alternative", boundary + "_alt", contents)]
    if files:
        return parts.multipart("mixed", boundary + "_mix", [*contents, *files])
    return contents[0] if contents else parts.text("text/plain; charset=utf-8", "", boundary)


def _contents(message: Message, boundary: str, images: Sequence[Part]) -> list[Part]:
    """The same content in each of its forms, the richest last (RFC 2046 5.1.4)."""
    contents: list[Part] = []
    if message.text is not None:
        contents.append(parts.text("text/plain; charset=utf-8", message.text, boundary))
    if message.html is not None:
        page = parts.text("text/html; charset=utf-8", message.html, boundary)
        if images:
            page = parts.multipart(
                "related", boundary + "_rel", [page, *images], root_type="text/html"
            )
        contents.append(page)
    if message.calendar is not None:
        method = _METHOD.search(message.calendar)
        media_type = "text/calendar; charset=utf-8" + (f"; method={method[1]}" if method else "")
        contents.append(parts.text(media_type, message.calendar, boundary))
    return contents


def _boundary(message: Message) -> str:
    """A digest behind "=_", which neither base64 nor quoted-printable can hold (RFC 2045 6.7)."""
    name = f"{message.tenant_id}\0{message.id}\0{message.generation}"
    return "=_" + sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:32]
