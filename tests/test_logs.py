"""The log: no entry can pretend to be two, move a terminal's cursor, or show local variables."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from asyncmail.config import LoggingSettings
from asyncmail.logs import configure
from asyncmail.plugins.secrets import SecretRegistry

Configure = Callable[..., io.StringIO]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Logging as the program sets it up, into a text; put back behind the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def configured(stream: io.StringIO | None = None, **settings: str) -> io.StringIO:
        stream = stream or io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        secrets = SecretRegistry()
        secrets.register("hunter2")
        configure(LoggingSettings.model_validate(settings), secrets)
        return stream

    yield configured
    root.handlers[:] = handlers
    root.setLevel(level)


HOSTILE = "m1\r\n2026-01-01T00:00:00Z [critical] forged\x1b[2J\x07\x85\u2028\x9b2J\x00 tab\t"


def test_an_entry_begins_where_a_line_begins_and_nowhere_else(configured: Configure) -> None:
    output = configured()
    logging.getLogger("x").warning("message %s is late", HOSTILE)
    first, second, nothing = output.getvalue().split("\n")
    assert "[warning" in first
    assert second.startswith("  2026-01-01")
    assert nothing == ""
    assert all(c.isprintable() or c in "\t\n" for c in output.getvalue())
    assert "\\x1b[2J\\x07\\x85\\u2028\\x9b2J\\x00" in second


def test_an_exceptions_text_cannot_forge_an_entry_either(configured: Configure) -> None:
    output = configured()
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("x").exception("failed")
    lines = output.getvalue().rstrip("\n").split("\n")
    assert "ValueError: m1" in output.getvalue()
    assert [line for line in lines if not line.startswith("  ")] == lines[:1]


def test_a_terminal_gets_colours_and_nothing_else_that_it_would_obey(configured: Configure) -> None:
    output = configured(Terminal())
    logging.getLogger("x").warning("late: %s", HOSTILE)
    assert "\x1b[33m" in output.getvalue()
    assert "\x1b[2J" not in output.getvalue()
    assert "\\x1b[2J" in output.getvalue()


def test_json_has_one_object_a_line_with_its_traceback_as_text(configured: Configure) -> None:
    output = configured(format="json")
    logging.getLogger("x").warning("late: %s", HOSTILE)
    try:
        raise ValueError("hunter2 is wrong")
    except ValueError:
        logging.getLogger("x").exception("failed")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("x").exception("failed")
    late, masked, failed = (json.loads(line) for line in output.getvalue().splitlines())
    assert late["event"] == f"late: {HOSTILE}"
    assert "ValueError: *** is wrong" in masked["event"]
    assert "ValueError: m1" in failed["exception"]


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_traceback_shows_no_local_variable(configured: Configure, format: str) -> None:
    output = configured(format=format)

    def fail(body: str) -> None:
        raise ValueError(f"a body of {len(body)} characters")

    try:
        fail("Dear customer")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert "a body of 13 characters" in output.getvalue()
    assert "Dear customer" not in output.getvalue().replace('fail("Dear customer")', "").replace(
        'fail(\\"Dear customer\\")', ""
    )


def test_what_nobody_caught_is_an_entry_too(configured: Configure) -> None:
    output = configured(format="json")

    def fail() -> None:
        raise ValueError("hunter2")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    of_thread, of_program = (json.loads(line) for line in output.getvalue().splitlines())
    assert (of_thread["level"], of_program["level"]) == ("error", "critical")
    assert "'worker'" in of_thread["event"]
    assert "hunter2" not in output.getvalue()
