"""Log lines on standard error: rendered by structlog, without secrets or control characters."""

from __future__ import annotations

import logging
import sys

import structlog

from asyncmail.config import LoggingSettings
from asyncmail.plugins.secrets import SecretFilter, SecretRegistry


def configure(settings: LoggingSettings, secrets: SecretRegistry) -> None:
    """Send every logger of the process through one handler; called once, by the program."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
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
