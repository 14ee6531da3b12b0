"""Message to bytes: built directly, the same bytes every time."""

from asyncmail.mime.assembly import build

__all__ = ["build"]
