"""The parts of a body, each 7-bit with CRLF lines: texts, attachments, and multiparts around parts.

A part is a list of byte strings that only the finished message joins: content header, empty line,
content. It ends with CRLF.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TypeAlias

from asyncmail.mime import headers, types, words
from asyncmail.model import Attachment, AttachmentReference

Part: TypeAlias = list[bytes]

_BASE64_LINE = 76
_LITERAL = bytes({9, 10, 13, *range(32, 127)} - {ord("=")})  # what quoted-printable leaves alone


def text(media_type: str, content: str, boundary: str) -> Part:
    """A text in UTF-8, in the plainest encoding that carries it safely.

    As it is where it is ASCII with short lines; else quoted-printable or base64, whichever is shorter.
    ``boundary`` is what must not occur in it: "=_" cannot, in either encoding.
    """
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    if content[-1:] != "\n":
        content += "\n"
    if _is_plain(content, boundary):
        encoding, body = "7bit", content.replace("\n", "\r\n").encode("ascii")
    else:
        encoding, body = _encoded(content.replace("\n", "\r\n").encode())
    head = f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return [head.encode("ascii"), body]


def attachment(reference: AttachmentReference, given: Attachment) -> Part:
    """A file, in base64; with a ``content_id`` one that the HTML shows."""
    if words.has_controls(reference.filename + (reference.content_id or "")):
        raise ValueError("control characters in the name of an attachment")
    disposition = "inline" if reference.content_id else "attachment"
    lines = [
        f"Content-Type: {_type(reference, given)}\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        f"Content-Disposition: {disposition}",
        *[f";\r\n {line}" for line in headers.parameter("filename", reference.filename)],
        f"\r\nContent-ID: <{reference.content_id}>\r\n\r\n" if reference.content_id else "\r\n\r\n",
    ]
    return ["".join(lines).encode("ascii"), _base64(given.content)]


def multipart(subtype: str, boundary: str, parts: Sequence[Part], *, root_type: str = "") -> Part:
    """Parts between boundaries (RFC 2046 5.1); ``root_type`` is that of a *related* one's first part."""
    kind = f'{subtype}; type="{root_type}"' if root_type else subtype
    between = f"\r\n--{boundary}\r\n".encode("ascii")
    joined: Part = [
        f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n'.encode("ascii")
    ]
    for part in parts:
        joined.append(between)
        joined += part
    joined.append(f"\r\n--{boundary}--\r\n".encode("ascii"))
    return joined


def _is_plain(content: str, boundary: str) -> bool:
    """Whether a text with LF line ends can go out as it is (RFC 2045 2.7)."""
    if not content.isascii() or "\0" in content or boundary in content:
        return False
    return (
        len(content) <= headers.MAX_LINE or max(map(len, content.split("\n"))) <= headers.MAX_LINE
    )


def _encoded(data: bytes) -> tuple[str, bytes]:
    special = len(data.translate(None, _LITERAL))
    if 3 * (len(data) + 2 * special) > 4 * len(data) or b"\0" in data:
        return "base64", _base64(data)
    return "quoted-printable", binascii.b2a_qp(data)


def _base64(content: bytes) -> bytes:
    encoded = binascii.b2a_base64(content, newline=False)
    starts = range(0, len(encoded), _BASE64_LINE)
    return b"".join([encoded[start : start + _BASE64_LINE] + b"\r\n" for start in starts])


def _type(reference: AttachmentReference, given: Attachment) -> str:
    """What the source says it is, else what the application said, else what the name suggests."""
    if given.mime_type and types.is_attachable(given.mime_type.lower()):
        return given.mime_type.lower()
    if reference.mime_type is None:
        return types.guess(reference.filename)
    if not types.is_attachable(reference.mime_type):
        raise ValueError(f"an attachment cannot be of type {reference.mime_type!a}")
    return reference.mime_type
