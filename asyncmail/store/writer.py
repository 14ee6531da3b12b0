"""Group commit: what waits at the same time is written in one transaction.

Callers hand in a unit of work and wait for its answer. Units of the same operation run as one batch, so
that a hundred requests cost one set of statements and one commit. Nothing here knows what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, Generic, TypeVar

from asyncmail.errors import StoreError, StoreUnavailable
from asyncmail.store.ballast import Ballast
from asyncmail.store.connection import (
    Engine,
    Locked,
    Transaction,
    finds_no_room,
    is_unavailable,
    lasting_harm,
)
from asyncmail.store.health import StorageHealth

MAX_ROWS = 2000  # of one transaction, unless a single unit has more
RETRY_SECONDS = 0.5  # between attempts to write what could not be written

ArgumentT = TypeVar("ArgumentT")
AnswerT = TypeVar("AnswerT")


class Rank(IntEnum):
    """The order of operations in a transaction, and who comes first when there is too much."""

    RESULTS = 0
    ACKNOWLEDGEMENTS = 1
    CLAIMS = 2
    ACCEPTS = 3
    REST = 4


@dataclass(frozen=True, slots=True)
class Operation(Generic[ArgumentT, AnswerT]):
    """Something that can be done to the database, for many callers at once.

    ``run`` is called in the engine's thread; it gets one argument per caller and returns one answer
    per caller, in order. ``ready`` makes an argument ready in the event loop, just before each try.
    ``patient``: keep it and try again while the database cannot take it, instead of failing the caller.
    """

    name: str
    run: Callable[[Transaction, Sequence[ArgumentT]], Sequence[AnswerT]]
    rank: Rank = Rank.REST
    patient: bool = False
    ready: Callable[[ArgumentT], ArgumentT] | None = None


@dataclass(slots=True, eq=False)
class _Unit:
    operation: Operation[Any, Any]
    argument: Any
    rows: int
    deadline: float  # on the loop's clock; for those that are not patient
    answer: asyncio.Future[Any] = field(repr=False)

    def make_ready(self) -> bool:
        """Whether its argument is ready; else its caller has the error."""
        try:
            if self.operation.ready is not None:
                self.argument = self.operation.ready(self.argument)
        except Exception as error:
            self.fail(error)
            return False
        return True

    def resolve(self, answer: Any) -> None:
        if not self.answer.done():  # a cancelled caller does not undo what was committed
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Writer:
    """The one task that writes. ``pending`` counts the messages that are not final."""

    def __init__(
        self,
        engine: Engine,
        health: StorageHealth,
        ballast: Ballast,
        *,
        probe: Operation[None, None],
        pending: int,
        lock_seconds: float,
    ) -> None:
        self._engine = engine
        self._health = health
        self._ballast = ballast
        self._probe = probe
        self._lock_seconds = lock_seconds
        self._waiting: list[_Unit] = []
        self._kept: list[_Unit] = []  # patient units that could not be written
        self._wake = asyncio.Event()
        self._closing = False
        self.pending = pending
        self._task = asyncio.create_task(self._run(), name="asyncmail store writer")

    async def submit(
        self, operation: Operation[ArgumentT, AnswerT], argument: ArgumentT, *, rows: int = 1
    ) -> AnswerT:
        """Have it done and committed. A cancelled caller does not stop it."""
        if self._closing:
            raise StoreUnavailable("the store is closing")
        unit = self._unit(operation, argument, rows)
        self._waiting.append(unit)
        self._wake.set()
        answer: AnswerT = await unit.answer
        return answer

    async def close(self) -> None:
        """Write what was handed in, then stop."""
        self._closing = True
        self._wake.set()
        await self._task

    def _unit(self, operation: Operation[Any, Any], argument: Any, rows: int) -> _Unit:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._lock_seconds
        return _Unit(operation, argument, rows, deadline, loop.create_future())

    # --- the task ---

    async def _run(self) -> None:
        while True:
            await self._wait()
            units = self._take()
            if units:
                await self._write([unit for unit in units if unit.make_ready()])
            elif self._closing:
                return
            elif self._is_uneasy and await asyncio.to_thread(self._ballast.restore):
                await self._write([self._unit(self._probe, None, 1)])

    async def _wait(self) -> None:
        if self._waiting or self._closing:
            return
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS if self._is_uneasy or self._kept else None):
                await self._wake.wait()

    @property
    def _is_uneasy(self) -> bool:
        """Whether there is something that may get better by itself."""
        return not self._health.commits or not self._ballast.held

    def _take(self) -> list[_Unit]:
        """The next transaction's units, by rank; what is too much stays for the one after."""
        units = sorted(self._kept + self._waiting, key=lambda unit: unit.operation.rank)
        self._kept = []
        rows = 0
        for position, unit in enumerate(units):
            rows += unit.rows
            if position and rows > MAX_ROWS:
                self._waiting = units[position:]
                return units[:position]
        self._waiting = []
        return units

    async def _write(self, units: list[_Unit]) -> None:
        """As a group, once more as a group, then one by one: only what is at fault fails."""
        units = self._allowed(units)
        error = await self._attempt(units)
        if error is None:
            return
        if finds_no_room(error) and any(unit.operation.patient for unit in units):
            await asyncio.to_thread(self._ballast.give_up)
        units = self._allowed(units)
        error = await self._attempt(units)
        if error is None:
            return
        if len(units) == 1:
            self._failed(units[0], error)
            return
        unrecorded = False
        for unit in units:
            if unrecorded and unit.operation.rank is Rank.CLAIMS:
                # It counts on the slots of results that were handed in before it.
                unit.fail(_unavailable("a result before it could not be recorded"))
                continue
            error = await self._attempt([unit])
            if error is not None:
                self._failed(unit, error)
                unrecorded = unrecorded or unit.operation.rank is Rank.RESULTS

    def _allowed(self, units: list[_Unit]) -> list[_Unit]:
        """Without new mail, which fails here, while what room is left is for results."""
        if self._health.takes_mail:
            return units
        allowed = []
        for unit in units:
            if unit.operation.rank is Rank.ACCEPTS:
                unit.fail(_unavailable(self._health.look().reason))
            else:
                allowed.append(unit)
        return allowed

    async def _attempt(self, units: list[_Unit]) -> Exception | None:
        """Write these in one transaction; the error, if nothing of it was kept.

        Waits for another process's lock as long as the units do.
        """
        while units:
            try:
                pending, answers = await self._engine.run(partial(_run_all, units))
            except Locked:
                self._expire(units)
                self._expire(self._waiting)
                continue
            except Exception as error:
                if is_unavailable(error):
                    self._health.commit_failed(f"the last commit failed: {error}")
                if harm := lasting_harm(error):
                    self._health.broke(f"{error}: {harm}")
                return error
            self._health.commit_succeeded()
            self.pending += pending
            for unit, answer in answers:
                unit.resolve(answer)
            break
        return None

    def _expire(self, units: list[_Unit]) -> None:
        """Take out, and fail, those that have waited long enough for somebody else's lock."""
        now = asyncio.get_running_loop().time()
        late = [unit for unit in units if now >= unit.deadline]
        if late:
            self._health.commit_failed("the database is locked by another process")
        for unit in late:
            if not unit.operation.patient or self._closing:
                units.remove(unit)
                unit.fail(_unavailable("the database is locked by another process"))

    def _failed(self, unit: _Unit, error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and not is_unavailable(error):
            refused = StoreError(f"the database refused to {unit.operation.name}: {error}")
            refused.__cause__ = error
            unit.fail(refused)
        elif not is_unavailable(error):
            unit.fail(error)
        elif unit.operation.patient and not self._closing:
            self._kept.append(unit)
        else:
            unit.fail(_unavailable(str(error)))


def _run_all(
    units: Iterable[_Unit], transaction: Transaction
) -> tuple[int, list[tuple[_Unit, object]]]:
    """Run the units, which come by rank, as one batch per operation; in the engine's thread.

    Returns the change to the number of pending messages, and each unit with its answer.
    """
    batches: dict[str, list[_Unit]] = {}
    for unit in units:
        batches.setdefault(unit.operation.name, []).append(unit)
    answers: list[tuple[_Unit, object]] = []
    for batch in batches.values():
        operation = batch[0].operation
        answered = operation.run(transaction, [unit.argument for unit in batch])
        answers.extend(zip(batch, answered, strict=True))
    return transaction.pending, answers


def _unavailable(reason: str) -> StoreUnavailable:
    return StoreUnavailable(f"the store cannot write: {reason}", hint="nothing was kept, try again")
