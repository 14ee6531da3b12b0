"""A line says all that the event says, and stands on its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncmail_journal import record
from journal_reading import lines

from asyncmail.model import Event, EventKind
from asyncmail.testing import samples

Start = Callable[..., Any]


async def test_every_field_of_an_event_is_in_its_line(path: Path, started: Start) -> None:
    observer = await started()
    for one in samples.events():
        await observer.notice(one)
    await observer.stop()
    written = lines(path)
    assert [line["kind"] for line in written] == [one.kind for one in samples.events()]
    full = next(one for one in samples.events() if one.recipients)
    line = next(line for line in written if "recipients" in line)
    assert line.pop("seq") == 1 + samples.events().index(full)
    outcomes = [dataclasses.asdict(one) for one in full.recipients]
    assert line == {**dataclasses.asdict(full), "recipients": outcomes}
    assert set(line) == {field.name for field in dataclasses.fields(Event)}


def test_what_does_not_apply_is_left_out_but_zero_is_a_value() -> None:
    line = json.loads(record.of_event(1, Event(EventKind.ACCEPTED, 2.5, id="m", priority=0)))
    assert line == {
        "seq": 1,
        "kind": "accepted",
        "ts": 2.5,
        "tenant_id": "default",
        "id": "m",
        "priority": 0,
    }


def test_nothing_in_an_event_can_break_its_line() -> None:
    nasty = 'a\n\r\u2028\u2029\x85\0"\\\ud800é🎉'
    line = record.of_event(1, Event(EventKind.FAILED, 0, id=nasty, error=nasty))
    assert line.isascii()
    assert line.count(b"\n") == 1
    content = json.loads(line)
    assert (content["id"], content["error"]) == (nasty, nasty)


def test_foreign_lines_are_not_taken_for_ours() -> None:
    assert record.read(record.of_event(7, Event(EventKind.SENT, 1.5))) == record.Place(7, 1.5)
    for foreign in (b"", b"\n", b'{"seq":1}\n', b'{"seq":"1","ts":1}\n', b'{"seq":1,"ts', b"[1]\n"):
        assert record.read(foreign) is None
