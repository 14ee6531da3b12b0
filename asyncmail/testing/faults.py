"""Extensions that misbehave on purpose: wrap any extension to see what a fault of it costs.

::

    broken = faulty(transport, Fault.HANGS, at=Moment.DOT)

The wrapper is of the same kind and does as the wrapped extension does, but for its fault.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar, cast

from asyncmail.model import (
    Account,
    Attachment,
    AttachmentReference,
    Delivery,
    Disposition,
    Envelope,
    Event,
    Message,
    OnUncertain,
    Report,
    RetiredMessage,
)
from asyncmail.plugins.interfaces import (
    Ack,
    AttachmentSource,
    Attempt,
    Extension,
    Filter,
    Observer,
    Retention,
    Sink,
    Transport,
    Validator,
)

ExtensionT = TypeVar("ExtensionT", bound=Extension)

BLOCK_SECONDS = 0.8  # enough to be noticed
SWALLOWED = 20  # cancellations, then even the worst plugin gives in, or no test could ever end


class Fault(StrEnum):
    """What goes wrong."""

    RAISES = "raises"
    HANGS = "hangs"
    SWALLOWS_CANCELLATION = "swallows-cancellation"  # hangs, and goes on when it is cancelled
    EXITS = "exits"  # raises SystemExit
    CANCELS_ITSELF = "cancels-itself"
    CLAIMS_SUCCESS = "claims-success"  # without having done anything
    ANSWERS_FOR_OTHERS = "answers-for-others"  # about what it was not asked
    RETURNS_NONE = "returns-none"
    BLOCKS = "blocks"  # the event loop, then goes on as usual


class Moment(StrEnum):
    """When it goes wrong."""

    BEFORE = "before"  # anything was done
    DOT = "dot"  # transports: right after ``before_dot()`` returned
    AFTER = "after"  # everything was done


Work = Callable[[], Awaitable[Any]]


class Injury:
    """One fault at one moment; what an answer is worth instead is up to the wrapper.

    ``times``: how often it strikes, then the extension is well again; ``None``: always.
    """

    def __init__(self, fault: Fault, at: Moment, times: int | None, block_seconds: float) -> None:
        self.fault = fault
        self.at = at
        self._left = times
        self._block_seconds = block_seconds

    def strikes(self, moment: Moment) -> bool:
        """Whether it happens now."""
        if moment is not self.at or self._left == 0:
            return False
        if self._left is not None:
            self._left -= 1
        return True

    async def around(self, work: Work, claim: Callable[[], Any], other: Callable[[], Any]) -> Any:
        """``work``, with the fault before or after it. ``claim`` and ``other`` give the two lies."""
        if self.strikes(Moment.BEFORE):
            return await self.instead(work, claim, other)
        answer = await work()
        if self.strikes(Moment.AFTER):

            async def done() -> Any:
                return answer

            return await self.instead(done, claim, other)
        return answer

    async def instead(self, work: Work, claim: Callable[[], Any], other: Callable[[], Any]) -> Any:
        """The fault in place of ``work``; only one that blocks goes on with it."""
        if self.fault is Fault.CLAIMS_SUCCESS:
            return claim()
        if self.fault is Fault.ANSWERS_FOR_OTHERS:
            return other()
        await self.happen()
        return await work() if self.fault is Fault.BLOCKS else None

    async def happen(self) -> None:
        """What the faults do that are no answers."""
        match self.fault:
            case Fault.RAISES:
                raise RuntimeError("raised on purpose")
            case Fault.EXITS:
                raise SystemExit("exited on purpose")
            case Fault.HANGS:
                await asyncio.get_running_loop().create_future()
            case Fault.SWALLOWS_CANCELLATION:
                await _stubborn()
            case Fault.CANCELS_ITSELF:
                _cancel_current()
                await asyncio.sleep(0)
            case Fault.BLOCKS:
                self.block()

    def block(self) -> None:
        time.sleep(self._block_seconds)


async def _stubborn() -> None:
    for _ in range(SWALLOWED):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            continue


def _cancel_current() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.cancel()


def faulty(
    extension: ExtensionT,
    fault: Fault,
    *,
    at: Moment = Moment.BEFORE,
    times: int | None = None,
    block_seconds: float = BLOCK_SECONDS,
) -> ExtensionT:
    """The extension with a fault; ``times``: how often it strikes, ``None`` for always."""
    injury = Injury(fault, at, times, block_seconds)
    for kind, wrapper in _WRAPPERS.items():
        if isinstance(extension, kind):
            return cast("ExtensionT", wrapper(extension, injury))
    raise TypeError(f"{type(extension).__name__} is no kind of extension")


class _Wrapped:
    """Start and stop are the wrapped extension's."""

    def __init__(self, inner: Any, injury: Injury) -> None:
        self.inner = inner
        self.injury = injury

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        await self.inner.stop()


class _Validator(_Wrapped, Validator):
    async def validate(self, message: Message, account: Account) -> Iterable[str] | None:
        answer: Iterable[str] | None = await self.injury.around(
            lambda: self.inner.validate(message, account), lambda: None, lambda: [object()]
        )
        return answer


class _Filter(_Wrapped, Filter):
    async def apply(self, data: bytes, message: Message, account: Account) -> bytes:
        answer: bytes = await self.injury.around(
            lambda: self.inner.apply(data, message, account),
            lambda: b"X-Filtered: at %d\r\n" % time.monotonic_ns() + data,
            lambda: b"From: other@shop.example\r\nSubject: another message\r\n\r\nNot yours.\r\n",
        )
        return answer


class _Source(_Wrapped, AttachmentSource):
    def handles(self, reference: AttachmentReference) -> bool:
        return bool(self.inner.handles(reference))

    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        answer: Attachment = await self.injury.around(
            lambda: self.inner.fetch(reference, message),
            lambda: Attachment(b""),
            lambda: Attachment(b"the content of another reference"),
        )
        return answer


class _Transport(_Wrapped, Transport):
    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        dangerous = _Attempt(attempt, self.injury)
        answer: Delivery = await self.injury.around(
            lambda: self.inner.send(envelope, account, dangerous),
            lambda: Delivery.of_all(envelope.recipients, Disposition.ACCEPTED, "taken, it says"),
            lambda: Delivery.of_all(["somebody@else.example"], Disposition.ACCEPTED),
        )
        return answer

    def connections(self) -> dict[str, int]:
        found: dict[str, int] = self.inner.connections()
        return found


class _Attempt:
    """The attempt that a wrapped transport sees: the fault may lie right behind ``before_dot()``."""

    def __init__(self, attempt: Attempt, injury: Injury) -> None:
        self._attempt = attempt
        self._injury = injury

    @property
    def number(self) -> int:
        return self._attempt.number

    @property
    def on_uncertain(self) -> OnUncertain:
        return self._attempt.on_uncertain

    def begin(self) -> None:
        self._attempt.begin()

    async def before_dot(self) -> None:
        await self._attempt.before_dot()
        if self._injury.strikes(Moment.DOT):
            await self._injury.happen()

    def progress(self) -> None:
        self._attempt.progress()


class _Sink(_Wrapped, Sink):
    def __init__(self, inner: Sink, injury: Injury) -> None:
        super().__init__(inner, injury)
        self.max_batch, self.timeout = inner.max_batch, inner.timeout
        self.poll_seconds = inner.poll_seconds

    async def deliver(self, reports: Sequence[Report]) -> Ack:
        answer: Ack = await self.injury.around(
            lambda: self.inner.deliver(reports),
            Ack,
            lambda: Ack(accepted=frozenset({"another-id"})),
        )
        return answer


class _Retention(_Wrapped, Retention):
    """``Moment.BEFORE`` is the decision, any later one the release of what was decided."""

    def cutoff(self, now: float, account_id: str) -> float | None:
        answer: float | None = self.inner.cutoff(now, account_id)
        if not self.injury.strikes(Moment.BEFORE):
            return answer
        match self.injury.fault:
            case Fault.EXITS:
                raise SystemExit("exited on purpose")
            case Fault.CANCELS_ITSELF:
                raise asyncio.CancelledError
            case Fault.RETURNS_NONE:
                return None
            case Fault.CLAIMS_SUCCESS:
                return now + 86400
            case Fault.ANSWERS_FOR_OTHERS:
                return cast("float", "yesterday")
            case Fault.BLOCKS:
                self.injury.block()
                return answer
        raise RuntimeError("raised on purpose")  # a plain decision cannot hang

    async def release(self, records: Sequence[RetiredMessage]) -> Iterable[str]:
        if self.injury.at is Moment.BEFORE or not self.injury.strikes(self.injury.at):
            untouched: Iterable[str] = await self.inner.release(records)
            return untouched
        answer: Iterable[str] = await self.injury.instead(
            lambda: self.inner.release(records),
            lambda: [record.id for record in records],
            lambda: ["another-id"],
        )
        return answer


class _Observer(_Wrapped, Observer):
    async def notice(self, event: Event) -> None:
        answer: None = await self.injury.around(
            lambda: self.inner.notice(event), lambda: None, lambda: replace(event, id="another-id")
        )
        return answer


_WRAPPERS: Mapping[type[Extension], Callable[[Any, Injury], Extension]] = {
    Validator: _Validator,
    Filter: _Filter,
    AttachmentSource: _Source,
    Transport: _Transport,
    Sink: _Sink,
    Retention: _Retention,
    Observer: _Observer,
}
