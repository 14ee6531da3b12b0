"""The page about bad input and the tests of it name the same things."""

from __future__ import annotations

import ast
from pathlib import Path

import doc_pages

TESTS = Path(__file__).parents[1]


def marked() -> set[str]:
    """The names in ``pytest.mark.bad_input(...)``, wherever tests carry it."""
    return {
        ast.literal_eval(node.args[0])
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.bad_input"
    }


def test_each_row_is_shown_by_a_test_and_each_test_has_its_row() -> None:
    rows = [row[0] for row in doc_pages.rows(doc_pages.page("bad-input")) if row[0] != "name"]
    assert len(rows) == len(set(rows))
    assert set(rows) == marked()
