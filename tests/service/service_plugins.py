"""Plugins that a test writes, installed as real packages for the service to find."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Install = Callable[[str, str], Any]


@contextmanager
def installing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Gives ``install(package, source)``, which returns the package's module, imported."""
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    modules: list[str] = []

    def install(package: str, source: str) -> ModuleType:
        module = package.replace("-", "_")
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (folder / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[asyncmail.v1]\n{package} = {module}\n")
        importlib.invalidate_caches()
        modules.append(module)
        return importlib.import_module(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)
