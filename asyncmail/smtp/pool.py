"""The connections of one account: how many, who gets the next one, how long an idle one is kept."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from asyncmail.clock import Clock
from asyncmail.errors import AttemptRevoked
from asyncmail.model import Account, Priority
from asyncmail.smtp.deadline import PULSE
from asyncmail.smtp.session import Session

NOOP_AFTER = 30.0  # seconds idle after which a connection is tried before it gets a message


class _Waiting(NamedTuple):
    """Somebody who waits for a connection; the order is the order of service."""

    priority: int
    arrival: int  # no two are equal
    granted: asyncio.Future[Session | None]
    progress: Callable[[], None]


class Lease:
    """The use of one connection, slot included, until the end of a ``with`` block.

    ``hand_on`` ends it early: from then on session and slot are the next message's.
    """

    def __init__(self, pool: AccountPool, session: Session, priority: int) -> None:
        self.session = session
        self.pool = pool
        self._priority = priority
        self._handed_on = False

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._handed_on:
            self.pool.release(self.session, self._priority)

    def hand_on(self) -> None:
        """The dot is about to be written: let the next envelope follow it, if one waits and may."""
        self._handed_on = self.pool.chain(self.session, self._priority)

    async def reconnect(self, progress: Callable[[], None]) -> None:
        """Put a new connection in the place of one that broke; raises ``ConnectFailed``."""
        self.session = await self.pool.replace(self.session, progress)


class AccountPool:
    """At most ``limit`` connections, a slot each; with several, one slot is for immediate messages.

    A slot is taken by ``acquire`` and comes back at the end of the lease; before that it may be handed
    on, connection included.
    """

    def __init__(
        self,
        account: Account,
        connect: Callable[[Account], Awaitable[Session]],
        clock: Clock,
        default_limit: int,
    ) -> None:
        self.account = account
        self.chaining = True
        self._connect = connect
        self._clock = clock
        self._default_limit = default_limit
        self._idle: list[Session] = []  # the one used last is at the end, and used next
        self._in_use: set[Session] = set()
        self._leaving: set[Session] = set()
        self._taken = 0
        self._ordinary = 0  # of the taken: those not for immediate messages
        self._waiting: list[_Waiting] = []
        self._connecting: list[Callable[[], None]] = []  # the progress of each
        self._arrivals = itertools.count()
        self._expiry: asyncio.TimerHandle | None = None
        self._pulse: asyncio.TimerHandle | None = None
        self._closed = False

    # --- what is asked of it ---------------------------------------------------------------------

    @property
    def limit(self) -> int:
        return max(1, self.account.max_connections or self._default_limit)

    @property
    def busy(self) -> int:
        return self._taken

    @property
    def idle(self) -> int:
        return sum(session.usable for session in self._idle)

    @property
    def unused(self) -> bool:
        """Whether nobody uses it and it holds nothing, so that it may be forgotten."""
        return not (self._taken or self._idle or self._waiting or self._leaving)

    def renew(self, account: Account) -> None:
        """Learn of a changed account: connections made for an older revision are retired."""
        if account.revision > self.account.revision:
            self.account = account
            idle, self._idle = self._idle, []
            for session in idle:
                self._keep(session)
            self._grant()

    async def acquire(self, priority: int, progress: Callable[[], None]) -> Lease:
        """Wait for a slot, by priority, then arrival, and for a session that can take a message.

        Raises ``ConnectFailed``, or ``AttemptRevoked`` when the pool is closed.
        """
        if self._closed:
            raise AttemptRevoked("the smtp transport has stopped")
        session = None
        if self._admits(priority):
            self._count(priority, 1)
        else:
            session = await self._wait(priority, progress)
        try:
            session = await self._ready(session, progress)
        except BaseException:
            self._give_back(priority)
            raise
        self._use(session)
        return Lease(self, session, priority)

    async def replace(self, broken: Session, progress: Callable[[], None]) -> Session:
        """A new session in a slot that is held already."""
        self._in_use.discard(broken)
        session = await self._new(progress)
        self._use(session)
        return session

    def chain(self, session: Session, priority: int) -> bool:
        """Hand a session whose dot is being written to the next in line, if there is one; its slot too.

        Immediate messages are not put behind somebody's dot: they wait for a free connection.
        """
        following = self._first()
        if following is None or not (self.chaining and session.pipelining and self._fits(session)):
            return False
        if following.priority == Priority.IMMEDIATE or priority == Priority.IMMEDIATE:
            return False
        heapq.heappop(self._waiting)
        following.granted.set_result(session)
        return True

    def release(self, session: Session, priority: int) -> None:
        """Give slot and session back; the next in line gets both, if both are still good."""
        self._in_use.discard(session)
        self._count(priority, -1)
        following = self._first()
        if following is not None and self._admits(following.priority) and self._fits(session):
            heapq.heappop(self._waiting)
            self._count(following.priority, 1)
            following.granted.set_result(session)
            return
        self._keep(session)
        self._grant()

    def expire(self) -> None:
        """Close the connections that were idle for the account's ttl; called by a timer as well."""
        now = self._clock.steady()
        while self._idle and now - self._idle[0].idle_since >= self.account.ttl:
            self._quit(self._idle.pop(0))
        self._arm()

    async def close(self, seconds: float) -> None:
        """Say QUIT on idle connections and end the others; takes at most ``seconds``."""
        self._closed = True
        for timer in (self._expiry, self._pulse):
            if timer is not None:
                timer.cancel()
        for waiting in self._waiting:
            if not waiting.granted.done():
                waiting.granted.set_exception(AttemptRevoked("the smtp transport has stopped"))
        self._waiting.clear()
        for session in self._idle:
            self._quit(session)
        self._idle.clear()
        for session in self._in_use:
            session.break_off("the smtp transport was stopped")
        await _ended([*self._leaving, *self._in_use], seconds)
        for session in self._leaving:
            session.break_off("no reply to QUIT in time")
        await _ended([*self._leaving], seconds)

    # --- slots -----------------------------------------------------------------------------------

    def _admits(self, priority: int) -> bool:
        limit = self.limit
        if self._taken >= limit:
            return False
        return priority == Priority.IMMEDIATE or limit == 1 or self._ordinary < limit - 1

    def _count(self, priority: int, step: int) -> None:
        self._taken += step
        if priority != Priority.IMMEDIATE:
            self._ordinary += step

    def _give_back(self, priority: int) -> None:
        self._count(priority, -1)
        self._grant()

    def _first(self) -> _Waiting | None:
        """The next in line; those who went away in the meantime are dropped."""
        while self._waiting and self._waiting[0].granted.done():
            heapq.heappop(self._waiting)
        return self._waiting[0] if self._waiting else None

    def _grant(self) -> None:
        while (following := self._first()) is not None and self._admits(following.priority):
            heapq.heappop(self._waiting)
            self._count(following.priority, 1)
            following.granted.set_result(None)

    async def _wait(self, priority: int, progress: Callable[[], None]) -> Session | None:
        waiting = _Waiting(
            priority, next(self._arrivals), asyncio.get_running_loop().create_future(), progress
        )
        heapq.heappush(self._waiting, waiting)
        self._keep_beating()
        try:
            return await waiting.granted
        except asyncio.CancelledError:
            if not waiting.granted.cancelled():  # granted in the same breath: pass it on
                session = waiting.granted.result()
                if session is None:
                    self._give_back(priority)
                else:
                    self.release(session, priority)
            raise

    def _keep_beating(self) -> None:
        if self._pulse is None:
            self._beat()

    def _beat(self) -> None:
        """Waiting in line and connecting are no silence: those ahead, and each step of the way to a
        session, have clocks of their own."""
        self._pulse = None
        if self._waiting or self._connecting:
            for progress in [*(waiting.progress for waiting in self._waiting), *self._connecting]:
                progress()
            self._pulse = asyncio.get_running_loop().call_later(PULSE, self._beat)

    # --- connections -----------------------------------------------------------------------------

    def _fits(self, session: Session) -> bool:
        return session.usable and session.revision == self.account.revision and not self._closed

    def _use(self, session: Session) -> None:
        session.idle_since = 0.0
        self._in_use.add(session)
        if self._closed:
            session.break_off("the smtp transport was stopped")

    async def _new(self, progress: Callable[[], None]) -> Session:
        self._connecting.append(progress)
        self._keep_beating()
        try:
            return await self._connect(self.account)
        finally:
            self._connecting.remove(progress)

    async def _ready(self, session: Session | None, progress: Callable[[], None]) -> Session:
        """The given session, an idle one that still answers, or a new one."""
        while True:
            if session is None and self._idle:
                session = self._idle.pop()
            if session is None:
                return await self._new(progress)
            if await self._answers(session, progress):
                return session
            session = None

    async def _answers(self, session: Session, progress: Callable[[], None]) -> bool:
        if not session.usable:
            return False
        if session.unclean:
            session.unclean = False
            return await self._try(session, b"RSET", progress)
        if session.idle_since and self._clock.steady() - session.idle_since > NOOP_AFTER:
            return await self._try(session, b"NOOP", progress)
        return True

    async def _try(self, session: Session, verb: bytes, progress: Callable[[], None]) -> bool:
        self._in_use.add(session)
        try:
            answered = await session.command(verb, progress)
        except BaseException:
            session.break_off("given up while it was tried")
            raise
        finally:
            self._in_use.discard(session)
        if not answered:
            self._quit(session)
        return answered

    def _keep(self, session: Session) -> None:
        """Keep a session for later, or end it if it is of no more use."""
        if not self._fits(session):
            self._quit(session)
            return
        session.idle_since = self._clock.steady()
        self._idle.append(session)
        self._arm()

    def _arm(self) -> None:
        if self._idle and self._expiry is None and not self._closed:
            oldest = self._idle[0].idle_since + self.account.ttl - self._clock.steady()
            self._expiry = asyncio.get_running_loop().call_later(max(oldest, 0.01), self._ring)

    def _ring(self) -> None:
        self._expiry = None
        self.expire()

    def _quit(self, session: Session) -> None:
        """Say goodbye where that is still possible; remember the session until its end."""
        if not session.closed.done():
            self._leaving.add(session)
            session.closed.add_done_callback(lambda _: self._leaving.discard(session))
            session.quit()


async def _ended(sessions: Sequence[Session], seconds: float) -> None:
    """Wait, within a bound, until the event loop has closed these."""
    if sessions:
        await asyncio.wait([session.closed for session in sessions], timeout=seconds)
