"""What all tests share: asyncio, as in the service, the plugin authors' fixtures, and the faults count.

A test marked ``fault("smtp.refused")`` holds that row of ``docs/faults.md``. The names are properties
of the test's reports, so ``--junitxml`` carries them; the summary counts the faults that were survived.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest_plugins = ["asyncmail.testing.fixtures"]

FAULT = "fault"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers(FAULT):
            item.user_properties.extend((FAULT, name) for name in mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line: in how many of the injected faults each test that holds one passed."""
    passed, others = (set(_faults(terminalreporter, *kinds)) for kinds in (_PASSED, _OTHERS))
    if injected := passed | others:
        terminalreporter.write_line(f"faults survived: {len(passed - others)} of {len(injected)}")
        if others:
            terminalreporter.write_line(f"not survived, or not injected: {sorted(others)}")


_PASSED = ("passed",)
_OTHERS = ("failed", "error", "skipped")


def _faults(terminalreporter: pytest.TerminalReporter, *kinds: str) -> Iterator[str]:
    for kind in kinds:
        for report in terminalreporter.stats.get(kind, ()):
            for key, value in getattr(report, "user_properties", ()):
                if key == FAULT:
                    yield str(value)
