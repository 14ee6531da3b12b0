"""Mail of every kind, and whether what arrived says what was composed, as the stdlib reads it."""

from __future__ import annotations

import base64
import email
import email.policy
import random
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

from asyncmail import mime
from asyncmail.api import MessagePayload
from asyncmail.model import Attachment
from asyncmail.payload import message_from_payload
from asyncmail.testing.real_service import mail

CALENDAR = "\r\n".join(
    [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//y//EN", "METHOD:REQUEST"),
        *("BEGIN:VEVENT", "UID:1@shop.example", "DTSTAMP:20260101T090000Z"),
        *("DTSTART:20260102T090000Z", "SUMMARY:Grüße", "END:VEVENT", "END:VCALENDAR", ""),
    ]
)
RAW = (
    "From: orders@shop.example\r\nTo: raw@customer.example\r\nSubject: made elsewhere\r\n"
    "Message-ID: <{id}@shop.example>\r\nDate: Thu, 01 Jan 2026 09:00:00 +0000\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n.\r\n..dots\r\nend\r\n"
)
Payload = dict[str, Any]


def letters(count: int) -> list[Payload]:
    """``count`` payloads, of each kind as many; the same ones every time."""
    return [_letter(f"letter-{number}", number) for number in range(count)]


def _letter(id: str, number: int) -> Payload:
    content = random.Random(number).randbytes(number * 97 % 30_000)
    match number % 10:
        case 0:
            return mail(id, body=f"Order {number}\n\nThank you.\n")
        case 1:
            return mail(id, body=f"<p>Order <b>{number}</b>, größer</p>\n", content_type="html")
        case 2:
            return mail(id, body=None, text="Plain ☀\n", html="<p>Rich ☀</p>\n")
        case 3:
            files = [
                file("invoice.pdf", content, mime_type="application/pdf"),
                file("Übersicht 2.txt", "Grüße\n".encode()),
            ]
            return mail(id, attachments=files)
        case 4:
            logo = file("logo.png", content, content_id="logo", mime_type="image/png")
            html = '<img src="cid:logo">\n'
            return mail(id, body=html, content_type="html", attachments=[logo])
        case 5:
            return mail(id, calendar=CALENDAR)
        case 6:
            subject = "Ihre Bestellung ist unterwegs: schöne Grüße ☀ " * 4
            return mail(id, subject=subject.strip(), headers={"X-Campaign": "Frühling", "X-N": 7})
        case 7:
            return mail(
                id,
                [f'"Ann, Example" <a{number}@customer.example>', f"b{number}@customer.example"],
                cc=f"Jörg <c{number}@customer.example>",
                bcc=[f"hidden{number}@customer.example"],
                reply_to="answers@shop.example",
                return_path="bounces@shop.example",
            )
        case 8:
            return mail(id, body=".\n..\n.a line with a dot\n" + "long " * 600 + "\n.\n")
        case _:
            raw = mail(id, "raw@customer.example")
            del raw["subject"], raw["body"]
            return raw | {"raw": base64.b64encode(RAW.format(id=id).encode()).decode()}


def file(filename: str, content: bytes, **more: str) -> dict[str, str]:
    place = f"base64:{base64.b64encode(content).decode()}"
    return {"filename": filename, "storage_path": place, **more}


def content_of(attachment: Mapping[str, str]) -> bytes:
    return base64.b64decode(attachment["storage_path"].removeprefix("base64:"))


def recipients(letter: Payload) -> list[str]:
    """Everybody who is to get it, hidden ones too."""
    return sorted(spec for name in ("to", "cc", "bcc") for spec in specs(_listed(letter.get(name))))


def built(letter: Payload, created_ts: int) -> bytes:
    """What ``asyncmail.mime`` makes of it."""
    message = message_from_payload(
        MessagePayload.model_validate(letter).stored(),
        tenant_id="default",
        account_id=letter["account_id"],
        priority=2,
        created_ts=created_ts,
    )
    contents = [Attachment(content_of(one)) for one in letter.get("attachments", ())]
    return mime.build(message, contents)


def assert_says(data: bytes, letter: Payload) -> None:
    """What arrived, read by the stdlib, is what was composed."""
    read = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    assert [part.defects for part in read.walk() if part.defects] == []
    assert read["Message-ID"] == letter["message_id"]
    assert read["Bcc"] is None
    if "raw" in letter:
        assert lines(data) == lines(base64.b64decode(letter["raw"]))
        return
    assert read["Subject"] == letter["subject"]
    for header in ("From", "To", "Cc", "Reply-To"):
        wanted = _listed(letter.get(header.lower().replace("-", "_")))
        shown = [str(address) for address in read[header].addresses] if read[header] else []
        assert specs(shown) == specs(wanted), header
        assert [name for name, _ in getaddresses(shown)] == [
            address.rpartition(" <")[0].strip('"') for address in wanted
        ]
    for name, value in letter.get("headers", {}).items():
        assert read[name] == str(value)
    _assert_content(read, letter)


def _assert_content(read: EmailMessage, letter: Payload) -> None:
    html = letter.get("content_type") == "html"
    wanted = {
        "text/plain": letter.get("text") or (None if html else letter.get("body")),
        "text/html": letter.get("html") or (letter.get("body") if html else None),
        "text/calendar": letter.get("calendar"),
    }
    files = [part for part in read.walk() if part.get_filename() or part["Content-ID"]]
    texts = [part for part in read.walk() if not part.is_multipart() and part not in files]
    shown = {part.get_content_type(): part.get_content() for part in texts}
    assert {kind: lines(text) for kind, text in shown.items()} == {
        kind: lines(text) for kind, text in wanted.items() if text
    }
    attachments = letter.get("attachments", [])
    assert [part.get_filename() for part in files] == [one["filename"] for one in attachments]
    assert [part.get_payload(decode=True) for part in files] == list(map(content_of, attachments))
    for part, one in zip(files, attachments, strict=True):
        assert part.get_content_type() == one.get("mime_type", "text/plain")
        assert part["Content-ID"] == (f"<{one['content_id']}>" if "content_id" in one else None)


def lines(text: str | bytes) -> Any:
    """Without the difference between ways to end a line."""
    return text.replace("\r\n", "\n") if isinstance(text, str) else text.replace(b"\r\n", b"\n")


def specs(addresses: list[str]) -> list[str]:
    return [address.rpartition("<")[2].rstrip(">") for address in addresses]


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
