"""Fixtures of the tests of the plugin machinery."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from guard_bench import Bench
from plugin_site import Site


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    site = Site(tmp_path)
    yield site
    site.forget()
