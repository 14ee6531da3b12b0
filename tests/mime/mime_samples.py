"""Messages to build, and what an independent parser makes of the bytes."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Sequence
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from inspect import signature
from typing import Any

from hypothesis import strategies as st

from asyncmail.mime import build
from asyncmail.model import Address, Attachment, AttachmentReference, Message

# Newer Pythons refuse address literals, unless asked not to.
LENIENT: Any = {"strict": False} if "strict" in signature(getaddresses).parameters else {}

CREATED_TS = 1_750_000_000.0


def message(**fields: Any) -> Message:
    values: dict[str, Any] = {
        "id": "M1",
        "account_id": "default",
        "sender": Address("", "shop@example.org"),
        "to": (Address("", "ann@example.net"),),
        "cc": (),
        "bcc": (),
        "subject": "Your order",
        "text": "Hello\n",
        "html": None,
        "message_id": "<m1@example.org>",
        "created_ts": CREATED_TS,
    }
    return Message(**{**values, **fields})


def file(filename: str = "a.txt", **fields: Any) -> AttachmentReference:
    return AttachmentReference(storage_path="base64:", filename=filename, **fields)


def parse(data: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    for part in parsed.walk():
        assert not part.defects, part.defects
    return parsed


def built(sample: Message, attachments: Sequence[Attachment] = ()) -> tuple[bytes, EmailMessage]:
    """The bytes, after everything that any message must keep, and how they are read."""
    data = build(sample, attachments)
    assert data == build(sample, attachments)
    assert_wire_safe(data)
    return data, parse(data)


def assert_wire_safe(data: bytes) -> None:
    assert data.endswith(b"\r\n")
    assert b"\0" not in data
    lines = data.split(b"\r\n")
    assert not [line for line in lines if b"\r" in line or b"\n" in line]
    assert max(map(len, lines)) <= 998
    head = data.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"(?:^|\r\n)[ \t]*(?:\r\n|$)", head), "a line of nothing but blanks"


def normalised(text: str) -> str:
    """A text as a parser gives it back: LF line ends, the last line ended."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def mailboxes(data: bytes, name: str) -> list[tuple[str, str]]:
    """(display name, addr-spec) of a header.

    Read by the older parser: the newer one keeps the space between adjacent encoded words of a phrase.
    """
    value = email.message_from_bytes(data)[name]
    if value is None:
        return []
    pairs = getaddresses([value.replace("\r\n", "")], **LENIENT)
    return [(str(make_header(decode_header(display))), spec) for display, spec in pairs]


def content(part: EmailMessage) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


# --- strategies ----------------------------------------------------------------------------------

PRINTABLE = st.characters(
    exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufffe\uffff"
)
LINES = st.one_of(
    st.text(PRINTABLE, max_size=60),
    st.text(st.sampled_from("ab ,;:()<>@[]\\\"'=?_é日😀"), max_size=120),
    st.sampled_from(["=?utf-8?q?=0A?=", "a" * 1500, "é" * 300, " x ", "a  b", "word " * 40]),
)
SPECS = st.sampled_from(
    ["ann@example.net", '"a b"@example.org', "x+y@xn--exmple-cua.com", "q@[127.0.0.1]", "z@h"]
)
MAILBOXES = st.builds(Address, LINES.map(lambda text: text.strip()[:255]), SPECS)
CONTENTS = st.one_of(
    st.text(PRINTABLE | st.sampled_from("\r\n\t"), max_size=200),
    st.sampled_from(
        [
            *["", "\n", ".\n..\n", "\r\n.\r\n", "From me\n", "a" * 5000, "é" * 500, "a \n\tb\t\n"],
            *[
                "--=_x\n",
                "line\rline\r\nline\n",
                "日本語\n" * 50,
                "x\n" * 500,
                "=" * 100,
                "\x1b\x0b",
            ],
        ]
    ),
)
FILENAMES = st.one_of(
    st.text(PRINTABLE, min_size=1, max_size=40),
    st.sampled_from(['q"uo\\te;.txt', "ü.pdf", "日" * 255, "n" * 255, "a.docx", "mail.eml", "%.x"]),
).filter(lambda name: name == name.strip() and name[0] not in '<"')  # the parser unquotes twice
