"""The verdict on a crash run, in the words of Jepsen's total-queue test, from the four ledgers alone.

The service's own history is asked for one thing: whether it has named a second copy's reason, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from asyncmail.testing.crash.books import ClientBook, Life, ServerBook, SinkBook
from asyncmail.testing.crash.mails import LIMIT, LIMITED, Mails
from asyncmail.testing.faultsmtp import Copy
from asyncmail.testing.real_service import id_of

RECORD_SECONDS = 1.5  # from taking a message to the commit of its result, on a busy machine
WINDOW = 60.0  # seconds, of the rate limit
MEMORY_GROWTH = 1.2
FIRST_SEND_SECONDS = 3.0
ENOUGH_STARTS = 5  # of a single one the machine may be to blame


@dataclass(frozen=True)
class Evidence:
    """What a run brought to light beside the ledgers.

    ``uncertain``: uncertain attempts by id, as the service's history has them, of ids with copies too
    many. ``unknown``: accepted ids that the service no longer knows of, reports or not. ``memory``:
    bytes at the first start, when mail had flowed, and at the end. ``calm``: the machine had no more
    to do than it has processors; else it is to blame for slow starts.
    """

    slots: int
    hold: bool
    integrity: str
    uncertain: Mapping[str, int] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    memory: tuple[int, int] = (1, 1)
    calm: bool = True


@dataclass(frozen=True)
class Verdict:
    """The sums of a run. ``faults`` says in words what is wrong with them; empty is what is promised."""

    attempted: int
    acknowledged: int
    recovered: int
    kills: int
    pending_kills: int  # with a message taken whose dot was not answered yet
    injected: int  # replies lost on purpose
    copies: int
    extra: int  # copies beyond the first of a recipient, each with its reason
    most_extra: int  # of one kill
    unexplained: Mapping[str, int]
    lost: frozenset[str]
    unexpected: frozenset[str]
    unreported: frozenset[str]
    untrue: Mapping[str, str]
    uncertain_errors: int  # reported as errors that may have been delivered
    refused: Mapping[str, str]
    most_in_window: int  # of the account with the rate limit
    first_send: tuple[float, ...]  # seconds from each start to the first copy
    evidence: Evidence

    @property
    def faults(self) -> list[str]:
        """Each promise that was broken."""
        bound = self.evidence.slots * self.kills + self.injected
        memory_start, memory_end = self.evidence.memory
        wrong = {
            f"lost: {_some(self.lost)}": bool(self.lost),
            f"unexpected: {_some(self.unexpected)}": bool(self.unexpected),
            f"duplicated and unexplained: {_some(self.unexplained)}": bool(self.unexplained),
            f"never reported: {_some(self.unreported)}": bool(self.unreported),
            f"reported wrongly: {dict(self.untrue)}": bool(self.untrue),
            f"refused: {dict(self.refused)}": bool(self.refused),
            f"{self.extra} extra copies, at most {bound} can be explained": self.extra > bound,
            f"{self.extra} extra copies under hold": self.evidence.hold and self.extra > 0,
            f"{self.most_extra} extra copies of one kill, with {self.evidence.slots} slots": (
                self.most_extra > self.evidence.slots
            ),
            f"{self.most_in_window} messages a minute, {LIMIT} allowed": self.most_in_window
            > LIMIT,
            f"the database: {self.evidence.integrity}": self.evidence.integrity != "ok",
            f"the first copy after {self.restart:.1f} s": (
                self.evidence.calm
                and self.restart > FIRST_SEND_SECONDS
                and len(self.first_send) >= ENOUGH_STARTS
            ),
            f"memory grew from {memory_start} to {memory_end} bytes": (
                memory_end > memory_start * MEMORY_GROWTH
            ),
        }
        return [words for words, is_wrong in wrong.items() if is_wrong]

    @property
    def restart(self) -> float:
        """Seconds from a start with mail waiting to its first copy: the median."""
        return median(self.first_send) if self.first_send else 0.0

    def figures(self) -> dict[str, Any]:
        """For people and pages."""
        memory_start, memory_end = self.evidence.memory
        return {
            "kills": self.kills,
            "with a dot unanswered": self.pending_kills,
            "acknowledged": self.acknowledged,
            "recovered": self.recovered,
            "lost": len(self.lost),
            "unexpected": len(self.unexpected),
            "replies lost on purpose": self.injected,
            "second copies, explained": self.extra,
            "of one kill, at most": f"{self.most_extra} of {self.evidence.slots} slots",
            "second copies, unexplained": len(self.unexplained),
            "reported as uncertain": self.uncertain_errors,
            "reports missing": len(self.unreported),
            "reports untrue": len(self.untrue),
            "most in a minute": f"{self.most_in_window} of {LIMIT} allowed",
            "database": self.evidence.integrity,
            "start to first copy": f"{self.restart:.1f} s, at most {max(self.first_send, default=0):.1f}",
            "machine": "calm" if self.evidence.calm else "with more to do than it has processors",
            "memory": f"{memory_start / 2**20:.0f} MiB, {memory_end / 2**20:.0f} at the end",
        }


def judge(
    mails: Mails,
    client: ClientBook,
    server: ServerBook,
    sink: SinkBook,
    lives: Sequence[Life],
    evidence: Evidence,
) -> Verdict:
    """Compare the ledgers."""
    kills = [life.killed for life in lives if life.killed is not None]
    copied = {id_of(copy.message_id) for copy in server.copies}
    failed = {entry["id"] for entry in sink.reports if entry["error_ts"]}
    extra, unexplained, of_kills = _extra(server, kills, evidence.uncertain)
    pending = {bisect_left(kills, copy.time) for copy in server.unanswered}
    by_kill = sum(_ended_by_kill(copy, kills) for copy in server.unanswered)
    return Verdict(
        attempted=len(client.attempted),
        acknowledged=len(client.accepted),
        recovered=len(client.recovered),
        kills=len(kills),
        pending_kills=len(pending & set(range(len(kills)))),
        injected=len(server.unanswered) - by_kill,
        copies=len(server.copies),
        extra=extra,
        most_extra=max(of_kills.values(), default=0),
        unexplained=unexplained,
        lost=frozenset((client.accepted - copied - failed) & evidence.unknown),
        unexpected=frozenset((copied | sink.ids) - client.attempted),
        unreported=frozenset(client.accepted - sink.ids),
        untrue=_untrue(mails, server, sink),
        uncertain_errors=len({r["id"] for r in sink.reports if "uncertain" in (r["error"] or "")}),
        refused=client.refused,
        most_in_window=_most_in_window(server),
        first_send=_first_sends(server, lives),
        evidence=evidence,
    )


def extra_copies(server: ServerBook) -> dict[str, list[Copy]]:
    """The copies of each id that some recipient has more than once, oldest first."""
    found: dict[str, list[Copy]] = defaultdict(list)
    count: Counter[tuple[str, str]] = Counter()
    for copy in server.copies:
        id = id_of(copy.message_id)
        found[id].append(copy)
        count.update((id, recipient) for recipient in copy.recipients)
    repeated = {id for (id, _), copies in count.items() if copies > 1}
    return {id: sorted(found[id], key=lambda copy: copy.time) for id in repeated}


def _extra(
    server: ServerBook, kills: Sequence[float], uncertain: Mapping[str, int]
) -> tuple[int, dict[str, int], Counter[float]]:
    """How many copies too many are explained, which are not, and how many each kill has caused.

    A reason has two witnesses: the server (the copy before was not answered, or the process died soon
    after it) and the message's own history, as long as retention has not let that go.
    """
    silent = {(copy.time, copy.connection, copy.message_id) for copy in server.unanswered}
    explained, unexplained, of_kills = 0, {}, Counter[float]()
    for id, copies in extra_copies(server).items():
        recipients = Counter(recipient for copy in copies for recipient in copy.recipients)
        too_many = max(recipients.values()) - 1
        causes = 0
        for copy in copies[:-1]:
            kill = _next(kills, copy.time)
            killed = kill is not None and kill - copy.time < RECORD_SECONDS
            if killed and kill is not None:
                of_kills[kill] += 1
            causes += killed or (copy.time, copy.connection, copy.message_id) in silent
        covered = min(too_many, causes, uncertain.get(id, causes))
        explained += covered
        if covered < too_many:
            unexplained[id] = too_many - covered
    return explained, unexplained, of_kills


def _next(kills: Sequence[float], moment: float) -> float | None:
    position = bisect_left(kills, moment)
    return kills[position] if position < len(kills) else None


def _ended_by_kill(copy: Copy, kills: Sequence[float]) -> bool:
    """Whether a connection that ended before its reply ended by a kill, and not by the server."""
    kill = _next(kills, copy.time)
    injected = any(".drop" in recipient for recipient in copy.recipients)
    return not injected and kill is not None


def _untrue(mails: Mails, server: ServerBook, sink: SinkBook) -> dict[str, str]:
    """Reports that say what did not happen."""
    reached: dict[str, set[str]] = defaultdict(set)
    for copy in server.copies:
        reached[id_of(copy.message_id)].update(copy.recipients)
    wrong: dict[str, str] = {}
    for entry in sink.reports:
        id, error = entry["id"], entry["error"] or ""
        recipients = mails.recipients(id)
        if entry["sent_ts"] and set(recipients) - reached[id]:
            wrong[id] = f"sent, but not to {set(recipients) - reached[id]}"
        elif entry["error_ts"] and "uncertain" not in error:
            named = [r for r in recipients if r in error] or recipients
            if reached[id] & set(named):
                wrong[id] = f"failed ({error}), but {reached[id] & set(named)} has it"
    return wrong


def _most_in_window(server: ServerBook) -> int:
    """The most messages of the limited account in any minute of the server's clock."""
    times = sorted(c.time for c in server.copies if id_of(c.message_id).startswith(LIMITED))
    return max((bisect_left(times, t + WINDOW) - i for i, t in enumerate(times)), default=0)


def _first_sends(server: ServerBook, lives: Sequence[Life]) -> tuple[float, ...]:
    """Seconds from start to first copy, of lives that had mail to send and lived to send it."""
    times = sorted(copy.time for copy in server.copies)
    found = []
    for life in lives:
        first = _next(times, life.started + 0.1)  # before that it is of the process before
        if life.waiting and first is not None and (life.killed is None or first < life.killed):
            found.append(first - life.started)
    return tuple(found)


def _some(ids: Any) -> str:
    names = sorted(ids)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
