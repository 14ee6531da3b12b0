"""Failpoints: each is passed somewhere, none is passed that is not listed, and others do nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from asyncmail import failpoints

PACKAGE = Path(failpoints.__file__).parent
_CALL = re.compile(r"\bfailpoint\(\"([\w.]+)\"\)")


def ends(wanted: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own with a failpoint armed."""
    return subprocess.run(
        [sys.executable, "-c", f"from asyncmail.failpoints import failpoint\n{code}"],
        env={failpoints.VARIABLE: wanted},
        capture_output=True,
        text=True,
    )


def test_each_failpoint_is_passed_in_exactly_one_place() -> None:
    texts = [path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "failpoints.py"]
    passed = [name for text in texts for name in _CALL.findall(text)]
    answered = (PACKAGE / "smtp" / "session.py").read_text().partition("_ANSWERED = {")[2]
    passed += re.findall(r'"([\w.]+)"', answered.partition("}")[0])
    assert sorted(passed) == sorted(failpoints.FAILPOINTS)


def test_without_the_variable_a_failpoint_does_nothing() -> None:
    done = ends("", "for _ in range(9): failpoint('dot.before')\nprint('alive')")
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_the_process_ends_at_the_pass_that_was_asked_for() -> None:
    done = ends(
        "dot.before:2",
        "for n in range(9): failpoint('dot.replied'); print(n, flush=True); failpoint('dot.before')",
    )
    assert (done.returncode, done.stdout) == (failpoints.EXIT_CODE, "0\n1\n")


def test_an_unknown_failpoint_is_refused() -> None:
    done = ends("dot.befor", "print('alive')")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such failpoint" in done.stderr
