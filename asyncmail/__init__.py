"""asyncmail: mail in by REST, out by SMTP, every outcome reported back.

The names here are what a plugin author imports; nothing else of the package is promised to plugins.
The interfaces are imported when first asked for: they bring pydantic, and ``asyncmail --help`` does
without it. ``Event`` and ``EventKind`` are what observers get; all other values are in
``asyncmail.model``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from asyncmail.errors import (
    AsyncmailError,
    AttachmentError,
    AttemptRevoked,
    Rejected,
    SinkRefused,
    SinkUnavailable,
)

if TYPE_CHECKING:
    from asyncmail.model import Event, EventKind
    from asyncmail.plugins.hookspecs import hookimpl
    from asyncmail.plugins.interfaces import (
        ALL,
        Ack,
        AttachmentSource,
        Attempt,
        Context,
        Extension,
        Filter,
        Observer,
        Offer,
        PluginSettings,
        Retention,
        Sink,
        Transport,
        Validator,
    )

__version__ = "0.1.0"

__all__ = [
    "ALL",
    "Ack",
    "AsyncmailError",
    "AttachmentError",
    "AttachmentSource",
    "Attempt",
    "AttemptRevoked",
    "Context",
    "Event",
    "EventKind",
    "Extension",
    "Filter",
    "Observer",
    "Offer",
    "PluginSettings",
    "Rejected",
    "Retention",
    "Sink",
    "SinkRefused",
    "SinkUnavailable",
    "Transport",
    "Validator",
    "__version__",
    "hookimpl",
]

if not TYPE_CHECKING:  # a checker that saw it would take any name for granted

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        homes = {"hookimpl": "plugins.hookspecs", "Event": "model", "EventKind": "model"}
        home = homes.get(name, "plugins.interfaces")
        return getattr(import_module(f"{__name__}.{home}"), name)
