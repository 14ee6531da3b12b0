"""The attachments of a payload: where their content is to be had, and what they may be called."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any

from asyncmail.errors import Rejected
from asyncmail.mime.types import is_attachable
from asyncmail.model import AttachmentReference
from asyncmail.payload import texts

MAX_ATTACHMENTS = 100
MAX_FILENAME = 255  # characters
MAX_PATH = (
    4096  # characters of a path or an address; inline content is limited by the request alone
)
INLINE = "base64:"

FIELDS = ("filename", "storage_path", "fetch_mode", "content_md5", "mime_type", "content_id")

_is_fetch_mode = re.compile(r"[a-z0-9_-]{1,32}").fullmatch
_is_md5 = re.compile(r"[0-9A-Fa-f]{32}").fullmatch
_is_content_id = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~@-]{1,200}").fullmatch
_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def references(value: object) -> tuple[AttachmentReference, ...]:
    """Read the ``attachments`` of a payload; raises ``Rejected``."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise Rejected("invalid payload: attachments must be a list")
    if len(value) > MAX_ATTACHMENTS:
        raise Rejected(f"too large: {len(value)} attachments, at most {MAX_ATTACHMENTS} are taken")
    found = tuple([_reference(item) for item in value])
    content_ids = [reference.content_id for reference in found if reference.content_id]
    if len(set(content_ids)) < len(content_ids):
        raise Rejected("invalid payload: two attachments have the same content_id")
    return found


def known_fields(value: object) -> object:
    """The ``attachments`` of a payload without what means nothing; left alone where malformed."""
    if not isinstance(value, list | tuple):
        return value
    return [_known(item) if isinstance(item, Mapping) else item for item in value]


def _known(item: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: item[name] for name in FIELDS if item.get(name) is not None}
    path = known.get("storage_path")
    if known.get("fetch_mode") == "base64" and isinstance(path, str):
        known["storage_path"] = _inline(path)
    return known


def _reference(item: object) -> AttachmentReference:
    if not isinstance(item, Mapping):
        raise Rejected("invalid payload: an attachment must be an object")
    get = item.get
    filename = _filename(get("filename"))
    fetch_mode = _matching(_is_fetch_mode, "fetch_mode", get("fetch_mode"))
    content_id = get("content_id")
    if isinstance(content_id, str) and content_id.startswith("<") and content_id.endswith(">"):
        content_id = content_id[1:-1]
    mime_type = get("mime_type") or None
    if mime_type is not None:
        if not isinstance(mime_type, str) or not is_attachable(mime_type.lower()):
            raise Rejected(f"invalid payload: mime_type of {filename!r} cannot be attached")
        mime_type = mime_type.lower()
    md5 = _matching(_is_md5, "content_md5", get("content_md5"))
    return AttachmentReference(
        storage_path=_storage_path(get("storage_path"), filename, fetch_mode),
        filename=filename,
        fetch_mode=fetch_mode,
        content_md5=md5 and md5.lower(),
        mime_type=mime_type,
        content_id=_matching(_is_content_id, "content_id", content_id),
    )


def _filename(value: object) -> str:
    """The last part of the name, at most 255 characters with its suffix kept."""
    text = texts.line("filename", value, MAX_PATH)
    if _BIDI_CONTROLS.search(text):
        raise Rejected("invalid payload: filename contains directional controls")
    name = text.replace("\\", "/").rpartition("/")[2].strip()
    if name in ("", ".", ".."):
        raise Rejected("invalid payload: an attachment has no filename")
    if len(name) <= MAX_FILENAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 16:
        return name[:MAX_FILENAME]
    return stem[: MAX_FILENAME - 1 - len(suffix)] + dot + suffix


def _storage_path(value: object, filename: str, fetch_mode: str | None) -> str:
    if not isinstance(value, str):
        raise Rejected("invalid payload: storage_path must be a text")
    if fetch_mode == "base64" or value.startswith(INLINE):
        try:
            binascii.a2b_base64(value.removeprefix(INLINE), strict_mode=True)
        except ValueError as error:
            raise Rejected(f"invalid payload: content of {filename!r}: {error}") from None
        return _inline(value)
    return texts.opaque("storage_path", value, MAX_PATH)


def _inline(content: str) -> str:
    """Content in the payload itself is told by its prefix alone, whatever else named it as such."""
    return content if content.startswith(INLINE) else INLINE + content


def _matching(matches: Any, name: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not matches(value):
        raise Rejected(f"invalid payload: {name} of an attachment is malformed")
    return value
