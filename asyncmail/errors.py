"""The one error family: what happened, to what, and what to do next."""

from __future__ import annotations


class AsyncmailError(Exception):
    """Base of every error that asyncmail raises on purpose.

    ``str(error)`` names the thing and the cause; ``hint`` says what to do next and may be empty.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint

    def __str__(self) -> str:
        what = super().__str__()
        return f"{what} ({self.hint})" if self.hint else what


class ConfigurationError(AsyncmailError):
    """A setting is unknown, malformed or contradicts another; the service does not start."""


class PluginError(AsyncmailError):
    """A plugin is missing, broken, or asked for under a name that does not exist."""


# --- store ---------------------------------------------------------------------------------------


class StoreError(AsyncmailError):
    """The store could not do what it was asked for; nothing of the request was kept."""


class StoreUnavailable(StoreError):
    """The store cannot take work now: locked, full, draining. ``retry_after`` is in seconds."""

    def __init__(self, what: str, *, hint: str = "", retry_after: float = 5.0) -> None:
        super().__init__(what, hint=hint)
        self.retry_after = retry_after


class DatabaseUnusable(StoreError):
    """The database is corrupt, foreign, empty or gone; its file was left as it is."""


class DatabaseHeld(StoreError):
    """Another process holds the database."""


class SchemaTooNew(StoreError):
    """The database was written by a later release that this one cannot read safely."""


# --- accept --------------------------------------------------------------------------------------


class Rejected(AsyncmailError):
    """A message is not accepted. ``reason`` is shown to the client that sent it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- dispatch ------------------------------------------------------------------------------------


class BuildError(AsyncmailError):
    """The message cannot be turned into bytes, now or later: a permanent local failure."""


class AttachmentError(AsyncmailError):
    """An attachment could not be fetched. ``permanent`` tells whether trying again is of use.

    The text always begins with ``Attachment fetch failed``: clients look for these words.
    """

    def __init__(self, what: str, *, permanent: bool) -> None:
        super().__init__(f"Attachment fetch failed: {what}")
        self.permanent = permanent


class AttemptRevoked(AsyncmailError):
    """The right to send was lost before the dot: claim gone, store unhealthy, or draining."""


# --- report --------------------------------------------------------------------------------------


class SinkUnavailable(AsyncmailError):
    """The receiver of reports cannot be reached or failed; the same list may be offered again.

    ``retry_after`` (seconds) is the receiver's own wish, where it named one.
    """

    def __init__(self, what: str, *, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class SinkRefused(SinkUnavailable):
    """The receiver understood the list and refuses it as it is; a smaller one may pass."""
