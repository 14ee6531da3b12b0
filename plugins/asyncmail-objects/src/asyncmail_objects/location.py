"""Where a reference leads: a bucket or a root, and a plain path in it. Nothing is ever decoded."""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import category
from urllib.parse import unquote

S3 = "s3://"
LOCAL = "objects://"
MAX_KEY_BYTES = 1024  # of S3; no file system allows longer steps than 255


@dataclass(frozen=True, slots=True)
class Location:
    """``place``: the name of a bucket or, where ``local``, of a root. ``key``: the path in it."""

    local: bool
    place: str
    key: str


def location_of(path: str) -> Location:
    """Read ``s3://bucket/key`` and ``objects://NAME/path``; raises ``ValueError`` that says why not."""
    scheme = LOCAL if path.startswith(LOCAL) else S3
    if not path.startswith(scheme):
        raise ValueError("not s3://bucket/key")
    place, _, key = path.removeprefix(scheme).partition("/")
    if not place or not _is_plain(key):
        raise ValueError("not a plain path")
    return Location(scheme == LOCAL, place, key)


def _is_plain(key: str) -> bool:
    """No step that moves elsewhere, nor one that somebody else might take for such a step."""
    if any(category(character) in ("Cc", "Cs") for character in key):
        return False
    if len(key.encode()) > MAX_KEY_BYTES:
        return False
    return not any(map(_is_odd, key.split("/")))


def _is_odd(step: str) -> bool:
    decoded = unquote(step)
    return not {step, decoded}.isdisjoint({"", ".", ".."}) or not {"\0", "\\", "/"}.isdisjoint(
        step + decoded
    )
