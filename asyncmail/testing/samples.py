"""Ordinary and odd values to try extensions with: messages, envelopes, reports, events, records."""

from __future__ import annotations

from typing import Any

from asyncmail import mime
from asyncmail.model import (
    Account,
    AttachmentReference,
    Disposition,
    Envelope,
    Event,
    EventKind,
    Message,
    RecipientOutcome,
    Report,
    RetiredMessage,
)
from asyncmail.payload import message_from_payload

NOW = 1_750_000_000.0  # where ManualClock begins
PASSWORD = "k3ep-this-t0-yourself"  # noqa: S105 - what no log may show

ACCOUNT = Account("shop", "smtp.shop.test", user="shop", password=PASSWORD)


def message(id: str = "m1", *to: str, **payload: Any) -> Message:
    """An accepted message; ``payload``: fields of the REST API's message, over ordinary ones."""
    content: dict[str, Any] = {
        "id": id,
        "account_id": ACCOUNT.id,
        "from": "Orders <orders@shop.test>",
        "to": list(to) or ["bob@customer.test"],
        "subject": f"Order {id}",
        "message_id": f"{id}.kit@shop.test",
    }
    if "raw" not in payload and "html" not in payload:
        content["text"] = f"Thank you.\n.\n..two dots\nThis is message {id}.\n"
    content |= payload
    return message_from_payload(
        content, tenant_id="default", account_id=ACCOUNT.id, priority=2, created_ts=NOW
    )


def odd_messages() -> dict[str, Message]:
    """Messages that are unusual and yet valid, by what is odd about them."""
    many = [f"customer{n}@list.test" for n in range(150)]
    return {
        "no subject": message("no-subject", subject=""),
        "empty text": message("empty-text", text=""),
        "only html": message("only-html", html="<p>Hello &amp; welcome</p>"),
        "not ASCII": message("unicode", subject="Grüße 🎉 заказ", text="Grüße\n" * 40),
        "an internationalised address": message("smtputf8", "Jörg <jörg@bücher.example>"),
        "an A-label": message("a-label", "info@xn--bcher-kva.example"),
        "a quoted local part": message("quoted", '"john doe"@customer.example'),
        "150 recipients": message("many", *many),
        "only blind copies": message("blind", to=[], bcc=["hidden@customer.test"]),
        "the null reverse-path": message("bounce", return_path=""),
        "long lines": message("long-lines", text="x" * 5000),
        "much text": message("large", text="All work and no play.\n" * 20_000),
        "an attachment": message(
            "attached",
            attachments=[{"filename": "hello.txt", "storage_path": "base64:aGVsbG8="}],
        ),
    }


def built(message: Message) -> bytes:
    """The finished bytes of a message without attachments that are elsewhere."""
    return mime.build(message, ())


def envelope(id: str, *recipients: str, **payload: Any) -> Envelope:
    """One transaction: a message whose text names its id."""
    letter = message(id, *recipients, **payload)
    return Envelope(id, letter.envelope_sender, recipients or letter.recipients, built(letter))


def reference(path: str, **fields: Any) -> AttachmentReference:
    return AttachmentReference(path, **{"filename": "invoice.pdf", **fields})


def report(id: str = "m1", *, key: int = 1, error: str | None = None, **fields: Any) -> Report:
    """A result: sent, or with ``error`` failed."""
    result: dict[str, Any] = {
        "key": key,
        "tenant_id": "default",
        "id": id,
        "account_id": ACCOUNT.id,
        "priority": 2,
        "sent_ts": None if error else int(NOW),
        "error_ts": int(NOW) if error else None,
        "error": error,
        "deferred_ts": None,
    }
    return Report(**(result | fields))


def odd_reports() -> list[Report]:
    """One of each shape that a result can have."""
    return [
        report("sent", key=1),
        report("failed", key=2, error="550 5.1.1 no such user"),
        report("not-ascii", key=3, error="550 5.7.1 дверь закрыта, l'accès est refusé 🎉"),
        report("long", key=4, error="x" * 500),
        report("deferred", key=5, sent_ts=None, deferred_ts=int(NOW) + 60),
        report("odd id '\"<>&{}", key=6),
        report("again", key=7, generation=2, result_seq=3, tags=("invoice", "größe")),
    ]


def events() -> list[Event]:
    """Every kind of event, bare and with all fields."""
    outcomes = (
        RecipientOutcome("bob@customer.test", Disposition.ACCEPTED, 250, "2.0.0", "ok"),
        RecipientOutcome("eve@customer.test", Disposition.PERMANENT, 550, "5.1.1", "no such user"),
    )
    bare = [Event(kind, NOW) for kind in EventKind]
    full = [
        Event(
            kind,
            NOW,
            id="m1",
            account_id=ACCOUNT.id,
            priority=2,
            generation=1,
            error="550 5.1.1 дверь закрыта",
            uncertain=True,
            sink="genropy",
            recipients=outcomes,
        )
        for kind in EventKind
    ]
    return bare + full


def retired(id: str = "m1", **fields: Any) -> RetiredMessage:
    """A message at the end of its retention."""
    record: dict[str, Any] = {
        "tenant_id": "default",
        "id": id,
        "account_id": ACCOUNT.id,
        "sent_ts": int(NOW) - 900_000,
        "error_ts": None,
        "error": None,
        "reported_ts": int(NOW) - 800_000,
        "payload": {
            "id": id,
            "account_id": ACCOUNT.id,
            "from": "orders@shop.test",
            "to": ["bob@customer.test"],
            "subject": "Grüße",
            "text": "Hello.\n",
            "tags": ["invoice"],
        },
    }
    return RetiredMessage(**(record | fields))
