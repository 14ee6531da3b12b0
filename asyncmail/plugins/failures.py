"""How a guarded call can end without an answer, and how a plugin's exception is put into words."""

from __future__ import annotations

from asyncmail.errors import PluginError
from asyncmail.plugins.interfaces import Extension
from asyncmail.plugins.kinds import Loaded

MAX_CAUSE_LENGTH = 500


class ExtensionError(PluginError):
    """A chosen extension gave no usable answer. ``loaded`` is the extension."""

    def __init__(self, loaded: Loaded[Extension], what: str, *, hint: str = "") -> None:
        super().__init__(f"{loaded} {what}", hint=hint)
        self.loaded = loaded


class ExtensionFailed(ExtensionError):
    """It raised or answered nonsense. ``cause`` is the reason in words, without secrets.

    ``__cause__`` is the exception itself, where there was one; its text may hold secrets.
    """

    def __init__(self, loaded: Loaded[Extension], cause: str) -> None:
        super().__init__(loaded, f"failed: {cause}")
        self.cause = cause


class ExtensionTimeout(ExtensionError):
    """It did not answer, or showed no progress, within ``seconds``."""

    def __init__(self, loaded: Loaded[Extension], seconds: float) -> None:
        super().__init__(loaded, f"did not answer within {seconds:g} s")
        self.seconds = seconds


class ExtensionQuarantined(ExtensionError):
    """It failed too often of late and was not called; ``retry_after`` (seconds) says when it may be."""

    def __init__(self, loaded: Loaded[Extension], retry_after: float, last_failure: str) -> None:
        super().__init__(
            loaded, f"is quarantined after repeated failures, the last: {last_failure}"
        )
        self.retry_after = retry_after


def describe(error: BaseException) -> str:
    """``ValueError: no such thing``, on one line, at most 500 characters; never raises."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        text = "(its text cannot be had)"
    words = " ".join(text.split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    line = f"{name}: {shown}" if shown else name
    return line if len(line) <= MAX_CAUSE_LENGTH else line[: MAX_CAUSE_LENGTH - 3] + "..."
