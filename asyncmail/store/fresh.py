"""Messages at hand from their accept to their first claim, so that it need not read them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from asyncmail.model import Message
from asyncmail.store.base import NewMessage

MAX_BYTES = 24 * 1024 * 1024  # what has no room is read from the database
OBJECT_BYTES = 2200  # of a message, beside its texts, which are about as long as its payload
STALE_SECONDS = 60.0  # then its account waits for something, and others may have the room


class Fresh:
    """What has been committed and not been claimed. Used by the writer's thread alone."""

    def __init__(self, steady: Callable[[], float], max_bytes: int = MAX_BYTES) -> None:
        self._steady = steady
        self._free = max_bytes
        self._kept: dict[int, tuple[Message, int, float]] = {}  # with size and time

    def keep(self, messages: Iterable[tuple[int, NewMessage]]) -> None:
        """Keep committed messages by key, as far as there is room."""
        now = self._steady()
        for key, new in messages:
            size = OBJECT_BYTES + len(new.payload)
            while size > self._free and self._drop_stale(now):
                pass
            if size <= self._free and new.message is not None:
                self._free -= size
                self._kept[key] = (new.message, size, now)

    def take(self, key: int) -> Message | None:
        """The message, for a claim, or ``None``: it is to be read from the database."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        message, size, _ = found
        self._free += size
        return message

    def _drop_stale(self, now: float) -> bool:
        """Forget the oldest, if it is too old; whether it was."""
        key = next(iter(self._kept), None)
        if key is None or now - self._kept[key][2] < STALE_SECONDS:
            return False
        self.take(key)
        return True
