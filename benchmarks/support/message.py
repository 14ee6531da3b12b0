"""The one message of all benchmarks: text and HTML, one recipient, about 2 KB when built."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from asyncmail import mime
from asyncmail.model import DEFAULT_TENANT, Message
from asyncmail.payload import message_from_payload

ACCOUNT = "bench"
SENTENCE = "Your order has left our house and will be with you within the next two days. "
TEXT = "Good morning,\n\n" + "\n".join([SENTENCE] * 7) + "\n\nThe shop\n"
HTML = "<html><body><h1>Your order</h1>" + f"<p>{SENTENCE}</p>\n" * 10 + "</body></html>\n"


def payload(message_id: str, recipient: str, **more: Any) -> dict[str, Any]:
    """A message as a client of the REST API gives it."""
    return {
        "id": message_id,
        "account_id": ACCOUNT,
        "from": "sender@example.com",
        "to": recipient,
        "subject": "Your order 4711 is on its way",
        "text": TEXT,
        "html": HTML,
        **more,
    }


def understood() -> Message:
    """The same message as the service understands it."""
    ready = {"message_id": "<4711@example.com>", **payload("4711", "reader@example.net")}
    return message_from_payload(
        ready, tenant_id=DEFAULT_TENANT, account_id=ACCOUNT, priority=2, created_ts=time.time()
    )


def write_files(folder: Path) -> tuple[Path, Path]:
    """The built message as two files: with CRLF, and with LF as ``smtp-source -F`` wants it."""
    data = mime.build(understood(), [])
    wire, lines = folder / "message.eml", folder / "message.txt"
    wire.write_bytes(data)
    lines.write_bytes(data.replace(b"\r\n", b"\n"))
    return wire, lines
