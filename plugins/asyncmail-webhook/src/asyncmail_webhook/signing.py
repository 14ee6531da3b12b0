"""Signatures as the Standard Webhooks specification wants them: HMAC-SHA256, ``v1``, symmetric keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64


def key_of(secret: str) -> bytes:
    """The key inside ``whsec_<base64>``. Raises ``ValueError``, which never contains the secret."""
    text = secret.removeprefix(PREFIX)
    if text == secret:
        raise ValueError(f"should begin with {PREFIX}")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError(f"should be base64 behind {PREFIX}") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(
            f"should hold {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, this one has {len(key)}"
        )
    return key


def signed_headers(
    keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """The three headers of one attempt, with a signature per key.

    ``timestamp``: of the attempt, seconds since the epoch; receivers refuse old ones.
    """
    content = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, content, hashlib.sha256) for key in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(d).decode()}" for d in digests),
    }
