"""Log lines on standard error: rendered by structlog, without secrets or control characters."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Final

import structlog

from asyncmail.config import LoggingSettings
from asyncmail.plugins.secrets import SecretFilter, SecretRegistry

log: Final = logging.getLogger("asyncmail")


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
    rendering: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
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


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python itself would print the traceback as it is, and with it what the error quotes."""
    log.critical("ended by an error that nobody caught", exc_info=(kind, error, trace))


def _uncaught_in_thread(thrown: threading.ExceptHookArgs) -> None:
    error = thrown.exc_value
    if error is not None:
        name = thrown.thread.name if thrown.thread else "unknown"
        log.error("thread %r ended by an error that nobody caught", name, exc_info=error)
