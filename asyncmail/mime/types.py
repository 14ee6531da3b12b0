"""Media types of attachments: which may be attached, and which a filename suggests."""

from __future__ import annotations

import mimetypes
import re

UNKNOWN = "application/octet-stream"

# RFC 6838 4.2, in lower case and without parameters. A container could bring headers of its own.
_is_type = re.compile(
    r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
).fullmatch


def is_attachable(mime_type: str) -> bool:
    """Whether this is a type, in lower case, that an attachment may have."""
    return _is_type(mime_type) is not None


# Python's own table, never the machine's: the same type, so the same bytes, wherever it is built.
_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCUMENT = "application/vnd.oasis.opendocument."
_BY_SUFFIX = {
    **mimetypes.MimeTypes().types_map[True],
    ".docx": _OFFICE + "wordprocessingml.document",
    ".xlsx": _OFFICE + "spreadsheetml.sheet",
    ".pptx": _OFFICE + "presentationml.presentation",
    ".odt": _DOCUMENT + "text",
    ".ods": _DOCUMENT + "spreadsheet",
    ".odp": _DOCUMENT + "presentation",
    ".ics": "text/calendar",
    ".webp": "image/webp",
}


def guess(filename: str) -> str:
    """The type that the suffix of a filename suggests."""
    _, dot, suffix = filename.rpartition(".")
    found = _BY_SUFFIX.get(f".{suffix.lower()}", UNKNOWN) if dot else UNKNOWN
    return found if is_attachable(found) else UNKNOWN
