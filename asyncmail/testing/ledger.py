"""An append-only file of JSON lines: what a server saw, kept even when everything else is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Ledger:
    """One line per event; with the path ``None`` it keeps nothing."""

    def __init__(self, path: Path | str | None) -> None:
        self._descriptor: int | None = None
        if path is not None:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line in one write, so that a kill never leaves half of one between others."""
        if self._descriptor is not None:
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file; what is written afterwards is not kept."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
