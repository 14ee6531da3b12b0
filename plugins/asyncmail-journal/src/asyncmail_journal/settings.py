"""The settings of the observer, ``[plugins.journal]``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from asyncmail import PluginSettings


class JournalSettings(PluginSettings):
    """``[plugins.journal]``.

    ``path``: the file that is written to; rotated ones lie beside it. ``max_bytes``, ``max_age_seconds``:
    when it is rotated. ``keep``: how many rotated files stay. ``compress``: rotated ones become ``.gz``.
    ``fsync``: every write is on the disk before the next.
    """

    path: Path
    max_bytes: int = Field(100 * 1024 * 1024, ge=1024)
    max_age_seconds: float = Field(86_400.0, ge=0)  # 0: never
    keep: int = Field(30, ge=1)
    compress: bool = False
    fsync: bool = False
