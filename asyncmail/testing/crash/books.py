"""The books of a crash run: the client's and the supervisor's, and the neighbours', read as they grow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncmail.testing.crash.mails import LIMITED
from asyncmail.testing.faultsmtp import Copy
from asyncmail.testing.ledger import Ledger
from asyncmail.testing.real_service import id_of


class Tail:
    """The lines of a file of JSON lines that are new since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Whole lines only; a writer may be in the middle of one."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._offset += len(whole) + 1
        return [json.loads(line) for line in whole.split(b"\n")]


class ServerBook:
    """What the mail server took, and what it took without being able to say so."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.copies: list[Copy] = []
        self.unanswered: list[Copy] = []

    def read(self) -> list[str]:
        """The ids of the copies that are new."""
        new = []
        for entry in self._tail.read():
            event = entry.pop("event")
            copy = Copy(**{**entry, "recipients": tuple(entry["recipients"])})
            if event == "copy":
                self.copies.append(copy)
                new.append(id_of(copy.message_id))
            else:
                self.unanswered.append(copy)
        return new


class SinkBook:
    """The reports that the application took; those that it refused count for nothing."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.reports: list[dict[str, Any]] = []
        self.ids: set[str] = set()

    def read(self) -> list[str]:
        """The ids of the reports that are new."""
        new = [
            entry for post in self._tail.read() if post["acknowledges"] for entry in post["reports"]
        ]
        self.reports += new
        ids = [entry["id"] for entry in new]
        self.ids.update(ids)
        return ids


class ClientBook:
    """What the client attempted, and what it was told."""

    def __init__(self, path: Path) -> None:
        self._ledger = Ledger(path)
        self.attempted: set[str] = set()
        self.accepted: set[str] = set()
        self.waiting: set[str] = set()  # accepted, and nothing has been seen of it
        self.unknown: list[str] = []  # no answer came: to be sent again
        self.recovered: set[str] = set()  # no answer came, and it was stored all the same
        self.refused: dict[str, str] = {}  # against the contract: nothing here may be refused
        self._asked_again: set[str] = set()

    def batch(self, size: int, *, limited: bool = False) -> list[str]:
        """Unknown ids first, under the same names; then new ones, one of them of the limited account."""
        ids, self.unknown = self.unknown[:size], self.unknown[size:]
        while len(ids) < size:
            ids.append(f"{LIMITED if limited else 'm'}{len(self.attempted)}")
            self.attempted.add(ids[-1])
            limited = False
        self._ledger.write({"event": "attempted", "ids": ids})
        return ids

    def told(self, ids: Sequence[str], answer: Any) -> None:
        """A duplicate is one that was accepted in a request whose answer was lost."""
        self._ledger.write({"event": "answered", "ids": ids, "answer": answer})
        for rejected in answer["rejected"]:
            known = rejected["reason"].startswith("duplicate id: already")
            if known and rejected["id"] in self._asked_again:
                self.recovered.add(rejected["id"])
            else:
                self.refused[str(rejected["id"])] = rejected["reason"]
        if answer["queued"] + len(answer["rejected"]) != len(ids):
            self.refused["sum"] = f"{answer['queued']} + {len(answer['rejected'])} != {len(ids)}"
        taken = set(ids) - self.refused.keys()
        self.waiting |= taken - self.accepted
        self.accepted |= taken

    def heard_nothing(self, ids: Sequence[str]) -> None:
        self._ledger.write({"event": "unknown", "ids": ids})
        self.unknown += ids
        self._asked_again.update(ids)

    def seen(self, ids: Iterable[str]) -> None:
        """A copy or a report of these has been seen."""
        self.waiting.difference_update(ids)

    def close(self) -> None:
        self._ledger.close()


@dataclass
class Life:
    """One process: when it was started and, if so, killed; seconds since the epoch.

    ``waiting``: how many messages without a rate limit were ready for it.
    """

    started: float
    waiting: int
    killed: float | None = None


@dataclass
class SupervisorBook:
    """The processes, one after another. ``failpoint``: where one ended itself."""

    path: Path
    lives: list[Life] = field(default_factory=list)
    failpoint: str = ""

    @property
    def kills(self) -> list[float]:
        """When lives ended before their time."""
        return [life.killed for life in self.lives if life.killed is not None]

    def write(self) -> None:
        """Keep it beside the other ledgers."""
        lines = [json.dumps(vars(life)) for life in self.lives]
        self.path.write_text("\n".join([*lines, json.dumps({"failpoint": self.failpoint}), ""]))
