"""The header field DKIM-Signature: what it covers, how it is written (RFC 6376 3.5, 3.7, 5.4)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence

from asyncmail_dkim import canonical
from asyncmail_dkim.keys import SigningKey

WIDTH = 76

# Covered once more than they occur, so that none can be added: these are what readers see and what
# decides how a message is shown (RFC 6376 8.15).
OVERSIGNED = (
    *("from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding"),
)
# Covered where they occur. One-click unsubscription (RFC 8058) and complaint feedback (RFC 9477) count
# only if they are.
SIGNED = (
    *("sender", "content-disposition", "content-language", "auto-submitted", "feedback-id"),
    *("list-id", "list-unsubscribe", "list-unsubscribe-post", "list-help", "list-subscribe"),
    *("list-post", "list-owner", "list-archive", "cfbl-address", "cfbl-feedback-id"),
)


def sign(
    data: bytes, keys: Sequence[SigningKey], timestamp: int, leave_out: Collection[str] = ()
) -> bytes:
    """The message with one signature per key on top; blocks for the time of signing.

    ``timestamp``: seconds since the epoch, for ``t=``. ``leave_out``: fields that are not covered.
    """
    end = canonical.header_end(data)
    covered, content = _covered(data[:end], leave_out)
    body = b64encode(canonical.body_hash(data, end + 2)).decode()
    return b"".join([*(_field(key, timestamp, covered, content, body) for key in keys), data])


def _covered(header: bytes, leave_out: Collection[str]) -> tuple[list[str], bytes]:
    """The names for ``h=``, and the canonical fields in that order, the lowest of a name first."""
    by_name: dict[bytes, list[bytes]] = {}
    for found_name, field in canonical.fields(header):
        by_name.setdefault(found_name, []).append(field)
    names: list[str] = []
    parts: list[bytes] = []
    for name in (*OVERSIGNED, *SIGNED):
        if name not in leave_out:
            found = by_name.get(name.encode(), [])
            names += [name] * (len(found) + (name in OVERSIGNED))
            parts += reversed(found)
    return names, b"".join(part + b"\r\n" for part in parts)


def _field(
    key: SigningKey, timestamp: int, covered: Sequence[str], content: bytes, body: str
) -> bytes:
    lines = [
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed;",
        f" d={key.settings.domain};",
        f" s={key.settings.selector}; t={timestamp};",
        *_folded(covered),
        f" bh={body};",
        " b=",
    ]
    unsigned = "\r\n".join(lines)
    _, _, value = unsigned.partition(":")
    # The field itself is the last one signed, with an empty b= and without its CRLF (RFC 6376 3.7).
    own = b"dkim-signature:" + canonical.value_of(value.encode())
    signature = b64encode(key.sign(content + own)).decode()
    first, *rest = _pieces(signature)
    return (unsigned + "\r\n ".join([first, *rest]) + "\r\n").encode()


def _folded(names: Sequence[str]) -> Iterator[str]:
    """``h=`` on lines of moderate length."""
    line = f" h={names[0]}"
    for name in names[1:]:
        if len(line) + len(name) + 2 > WIDTH:
            yield line
            line = " "
        line += f":{name}"
    yield line + ";"


def _pieces(signature: str) -> Iterator[str]:
    width = WIDTH - 4
    for start in range(0, len(signature), width):
        yield signature[start : start + width]
