"""One event as one line of JSON, ASCII only: no reader can take a character in it for a line end."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from asyncmail.model import Event, RecipientOutcome

LOST = "journal_lost"  # events that could not be written; ``lost`` says how many
REPAIRED = "journal_repaired"  # what a crash left behind the last whole line was cut off

BEGINNING = b'{"seq":'
_EVENT = [field.name for field in fields(Event)]
_RECIPIENT = [field.name for field in fields(RecipientOutcome)]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened to the journal itself. ``count``: of lost events, or of bytes cut off."""

    kind: str
    count: int

    @property
    def lost(self) -> int:
        """How many events nobody hears of if this line is not written either."""
        return self.count if self.kind == LOST else 0


@dataclass(frozen=True, slots=True)
class Place:
    """What the journal has to know of a line again after a restart."""

    seq: int
    ts: float


def of_event(seq: int, event: Event) -> bytes:
    """The line of an event; fields that do not apply are left out."""
    content = _applying(event, _EVENT)
    if event.recipients:
        content["recipients"] = [_applying(one, _RECIPIENT) for one in event.recipients]
    return _line({"seq": seq, **content})


def of_note(seq: int, note: Note, ts: float) -> bytes:
    count = {"lost" if note.kind == LOST else "bytes": note.count}
    return _line({"seq": seq, "kind": note.kind, "ts": ts, **count})


def read(line: bytes) -> Place | None:
    """``None`` if this is no line of a journal."""
    if not line.startswith(BEGINNING):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    seq, ts = content.get("seq"), content.get("ts")
    if type(seq) is not int or not isinstance(ts, int | float):
        return None
    return Place(seq, float(ts))


def _applying(value: object, names: list[str]) -> dict[str, Any]:
    found = {name: getattr(value, name) for name in names}
    return {
        name: one
        for name, one in found.items()
        if one is not None and one is not False and one not in ("", ())
    }


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), default=str).encode("ascii") + b"\n"
