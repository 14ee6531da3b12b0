"""Log lines on standard error: rendered by structlog, without secrets or control characters."""

from __future__ import annotations

import logging
import re
import sys
import threading
from functools import partial
from types import TracebackType
from typing import Any, Final

import structlog

from asyncmail.config import LoggingSettings
from asyncmail.plugins.secrets import SecretFilter, SecretRegistry

log: Final = logging.getLogger("asyncmail")

# What moves the cursor of a terminal, or begins a line for some reader of the log; colours may stay where
# the renderer itself uses them.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROLS_BUT_COLOURS = re.compile(
    r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029]"
)


def configure(settings: LoggingSettings, secrets: SecretRegistry) -> None:
    """Send every logger of the process through one handler, and what nobody catches as well.

    Called once, by the program.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Plain tracebacks: a pretty one shows local variables, among them secrets and the content of mail.
    colours = sys.stderr.isatty()
    rendering: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=colours, exception_formatter=structlog.dev.plain_traceback
            ),
            partial(_one_entry, _CONTROLS_BUT_COLOURS if colours else _CONTROLS),
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    handler.addFilter(SecretFilter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    # aiosqlite would show each statement with its values: payloads, and whom a bcc hides.
    for noisy in ("httpx", "httpcore", "uvicorn.access", "aiosqlite"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("asyncmail.delivery").setLevel(
        logging.INFO if settings.delivery_activity else logging.WARNING
    )
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _one_entry(controls: re.Pattern[str], _logger: Any, _method: str, text: str) -> str:
    """Only the beginning of an entry stands at the beginning of a line, whatever was logged."""
    safe = controls.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return safe.replace("\n", "\n  ")


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python itself would print the traceback as it is, and with it what the error quotes."""
    log.critical("ended by an error that nobody caught", exc_info=(kind, error, trace))


def _uncaught_in_thread(thrown: threading.ExceptHookArgs) -> None:
    error = thrown.exc_value
    if error is not None:
        name = thrown.thread.name if thrown.thread else "unknown"
        log.error("thread %r ended by an error that nobody caught", name, exc_info=error)
