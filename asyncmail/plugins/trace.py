"""The trace of guarded calls, for whoever debugs a plugin: ``[plugins] trace = true``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from asyncmail.plugins.failures import describe
from asyncmail.plugins.interfaces import Extension
from asyncmail.plugins.kinds import Loaded

log: Final = logging.getLogger("asyncmail.trace")

MAX_SHOWN = 300  # characters of an answer


class Trace:
    """Logs every call at INFO: whose, what, how long, how it ended. ``mask`` takes secrets out."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        log.setLevel(logging.INFO)  # who asks for it gets it, whatever [logging] level says

    def __call__(
        self, loaded: Loaded[Extension], make: Callable[[], Any], seconds: float, ending: str
    ) -> None:
        words = self._mask(ending)
        log.info("%s %s: %.1f ms, %s", loaded, _name(make), seconds * 1000, words)


def returned(answer: object) -> str:
    """What a call returned, on one line and never the content of a message."""
    if isinstance(answer, (bytes, bytearray, memoryview)):
        return f"returned {len(answer)} bytes"
    try:
        text = " ".join(repr(answer).split())
    except BaseException as error:
        text = f"{type(answer).__name__} whose repr() fails: {describe(error)}"
    return f"returned {text}" if len(text) <= MAX_SHOWN else f"returned {text[:MAX_SHOWN]}..."


def _name(make: Callable[[], Any]) -> str:
    called = make.func if isinstance(make, partial) else make
    return f"{getattr(called, '__name__', 'call')}()"
