"""Real programs that some tests need: without one a test is skipped, but never in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def require_program(name: str, package: str) -> str:
    """The path of a program; ``package`` is the Debian package that brings it."""
    path = shutil.which(name)
    if path is not None:
        return path
    words = f"needs the program {name} (Debian package {package})"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)
