"""What all tests share: asyncio, as in the service, the plugin authors' fixtures, and two counts.

A test marked ``fault("smtp.refused")`` holds that row of ``docs/faults.md``, one marked
``bad_input("lone LF")`` that row of ``docs/bad-input.md``. The names are properties of the test's
reports, so ``--junitxml`` carries them; the summary counts what was survived.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest_plugins = ["asyncmail.testing.fixtures"]

COUNTED = {"fault": "faults survived", "bad_input": "kinds of bad input survived"}
_PASSED = ("passed",)
_OTHERS = ("failed", "error", "skipped")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in COUNTED:
            for mark in item.iter_markers(name):
                item.user_properties.extend((name, argument) for argument in mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each count: of how many names every test that holds one passed."""
    for name, words in COUNTED.items():
        passed, others = (set(_held(terminalreporter, name, *k)) for k in (_PASSED, _OTHERS))
        if injected := passed | others:
            terminalreporter.write_line(f"{words}: {len(passed - others)} of {len(injected)}")
            if others:
                terminalreporter.write_line(f"not survived, or not injected: {sorted(others)}")


def _held(terminalreporter: pytest.TerminalReporter, name: str, *kinds: str) -> Iterator[str]:
    for kind in kinds:
        for report in terminalreporter.stats.get(kind, ()):
            for key, value in getattr(report, "user_properties", ()):
                if key == name:
                    yield str(value)
