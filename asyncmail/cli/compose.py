"""A message payload from the options of ``asyncmail send``."""

from __future__ import annotations

import base64
import mimetypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import click


def compose(
    *,
    sender: str | None,
    to: Sequence[str],
    cc: Sequence[str],
    bcc: Sequence[str],
    reply_to: str | None,
    subject: str,
    body: str,
    html: bool,
    attach: Sequence[Path],
    account: str | None,
    priority: str | None,
    id: str | None,
) -> dict[str, Any]:
    """The payload, as ``POST /commands/add-messages`` takes it."""
    if not sender or not to:
        raise click.UsageError("give --from and --to, or a FILE with messages")
    payload: dict[str, Any] = {
        "id": id or str(uuid4()),
        "from": sender,
        "to": list(to),
        "subject": subject,
        "body": sys.stdin.read() if body == "-" else body,
    }
    optional = {
        "cc": list(cc),
        "bcc": list(bcc),
        "reply_to": reply_to,
        "content_type": "html" if html else None,
        "account_id": account,
        "priority": _priority(priority),
        "attachments": [_attachment(path) for path in attach],
    }
    return payload | {key: value for key, value in optional.items() if value not in (None, [])}


def _priority(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdecimal() else text


def _attachment(path: Path) -> dict[str, str]:
    content = base64.b64encode(path.read_bytes()).decode()
    attachment = {"filename": path.name, "storage_path": f"base64:{content}"}
    mime_type, encoding = mimetypes.guess_type(path.name)
    return attachment | ({"mime_type": mime_type} if mime_type and not encoding else {})
