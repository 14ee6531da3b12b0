"""Which folder belongs to a recipient: always one below the root, never one for two recipients."""

from __future__ import annotations

import hashlib

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@._+=-")
_MAX = 200  # file systems allow 255 bytes


def folder_name(recipient: str) -> str:
    """Return a name without separators that is neither hidden nor special.

    ``~`` never comes from an address as it is, so a shortened name cannot be another one's full name.
    """
    encoded = "".join(
        chr(byte) if byte in _SAFE and not (position == 0 and byte == ord(".")) else f"%{byte:02X}"
        for position, byte in enumerate(recipient.encode())
    )
    if not encoded:
        return "%"
    if len(encoded) <= _MAX:
        return encoded
    digest = hashlib.sha256(recipient.encode()).hexdigest()[:32]
    return f"{encoded[: _MAX - len(digest) - 1]}~{digest}"
