"""asyncmail: mail in by REST, out by SMTP, every outcome reported back.

The names here are what a plugin author imports; nothing else of the package is promised to plugins.
"""

from asyncmail.errors import (
    AsyncmailError,
    AttachmentError,
    AttemptRevoked,
    Rejected,
    SinkRefused,
    SinkUnavailable,
)
from asyncmail.plugins.hookspecs import hookimpl
from asyncmail.plugins.interfaces import (
    ALL,
    Ack,
    AttachmentSource,
    Attempt,
    Context,
    Extension,
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
    "Extension",
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
