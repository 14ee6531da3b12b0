"""The page of what was survived is what its figures say, and nobody's hand has improved them."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import doc_pages
import pytest


@pytest.fixture
def reliability() -> ModuleType:
    path = doc_pages.ROOT / "tests" / "faults" / "reliability.py"
    spec = importlib.util.spec_from_file_location("reliability", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_of_the_stored_figures(reliability: ModuleType) -> None:
    page = reliability.PAGE.read_text()
    data = json.loads(reliability.DATA.read_text())
    assert data["rows"]
    assert page == reliability.replaced(page, reliability.rendered(data))


def test_no_figure_is_without_the_command_that_brings_it(reliability: ModuleType) -> None:
    for row in json.loads(reliability.DATA.read_text())["rows"]:
        assert row["command"], row["what"]
