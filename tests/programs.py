"""Real programs that some tests need: without one a test is skipped, but never in CI."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import NoReturn

import pytest


def require_module(name: str) -> None:
    """A tool of the development groups, which is run as a module."""
    if find_spec(name) is None:
        _missing(f"needs {name} (see the dependency groups in pyproject.toml)")


def require_program(name: str, package: str) -> str:
    """The path of a program; ``package`` is the Debian package that brings it."""
    path = shutil.which(name)
    if path is None:
        _missing(f"needs the program {name} (Debian package {package})")
    return path


def _missing(words: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)
