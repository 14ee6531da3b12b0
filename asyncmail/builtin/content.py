"""What the attachment sources have in common: their limits, and the check of what they fetched."""

from __future__ import annotations

import hashlib

from asyncmail import AttachmentError
from asyncmail.model import AttachmentReference

DEFAULT_MAX_BYTES = 25 * 1024 * 1024


def check_md5(content: bytes, reference: AttachmentReference) -> None:
    """Raises ``AttachmentError`` if the content is not the one that the application meant."""
    expected = reference.content_md5
    if not expected:
        return
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected.strip().lower():
        raise AttachmentError(f"{reference.filename}: content_md5 does not match", permanent=True)


def too_large(reference: AttachmentReference, max_bytes: int) -> AttachmentError:
    return AttachmentError(f"{reference.filename}: more than {max_bytes} bytes", permanent=True)
