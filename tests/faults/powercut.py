"""A disk that keeps what was synced and nothing else, for a service that is left to power cuts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from programs import require_program

from asyncmail.testing.real_service import ASYNCMAIL

CONFIGURATION = "asyncmail.toml"  # the test's own


class Shadow:
    """What is on the disk of a service's ``folder``. Everything of ours is made in ``work``."""

    def __init__(self, folder: Path, work: Path) -> None:
        self._folder = folder
        self._kept = work / "kept"
        self._fail = work / "fail"
        self._library = work / "shadow.so"
        self._kept.mkdir(parents=True)
        source = Path(__file__).parent / "shadow.c"
        gcc = require_program("gcc", "gcc")
        flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror")
        subprocess.run([gcc, *flags, "-o", self._library, source, "-ldl"], check=True)

    def program(self, program: Sequence[str] = ASYNCMAIL) -> tuple[str, ...]:
        """What runs ``program`` on that disk."""
        values = {
            "LD_PRELOAD": self._library,
            "SHADOW_OF": self._folder.resolve(),
            "SHADOW_DIR": self._kept,
            "SHADOW_FAIL": self._fail,
        }
        return ("env", *(f"{name}={value}" for name, value in values.items()), *program)

    def cut(self) -> None:
        """The process has ended: everything that was only written goes the same way."""
        for path in self._folder.iterdir():
            if path.name != CONFIGURATION:
                path.unlink()
        for path in self._kept.iterdir():
            if path.suffix != ".making":
                shutil.copy2(path, self._folder)

    def fail_next_sync(self) -> None:
        self._fail.touch()

    @property
    def has_failed(self) -> bool:
        return not self._fail.exists()
