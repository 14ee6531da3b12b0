"""The promises of a validator: an answer to every message, in time, and nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import deepcopy

import pytest

from asyncmail.errors import Rejected
from asyncmail.model import Account, Message
from asyncmail.plugins.interfaces import Validator
from asyncmail.testing import samples
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.calls import broken, promise

REQUEST_SECONDS = 1.0  # after which the service refuses the whole request
MAX_REASON = 500

Answer = tuple[str, ...] | Rejected


class ValidatorSuite(Suite[Validator]):
    """Subclass it as ``class TestMine(ValidatorSuite)`` and say ``offer``; see ``Suite``.

    ``accepted`` and ``rejected`` are fixtures to override: messages that the validator, with these
    settings, must accept and reject.
    """

    kind = Validator

    @pytest.fixture
    def accepted(self) -> Sequence[Message]:
        return [samples.message()]

    @pytest.fixture
    def rejected(self) -> Sequence[Message]:
        broken(
            "override the fixture `rejected` with messages that your validator must reject; if with"
            ' these settings there are none, say cannot = {"test_it_rejects_with_a_reason": "why"}'
        )

    @pytest.fixture
    def account(self) -> Account:
        return samples.ACCOUNT

    async def use(self, extension: Validator) -> None:
        await self.verdict(extension, samples.message(), samples.ACCOUNT)

    async def verdict(
        self,
        validator: Validator,
        message: Message,
        account: Account,
        seconds: float | None = None,
    ) -> Answer:
        """The warnings, or the rejection."""
        what = f"{self.called('validate')} of a message"
        try:
            answer: object = await self.ask(
                what,
                lambda: validator.validate(message, account),
                advice="such a message would be lost for its client; raise Rejected(reason) to refuse"
                " it, or return to accept it",
                answers=(Rejected,),
                seconds=seconds,
            )
        except Rejected as rejection:
            reason = rejection.reason
            promise(
                bool(reason.strip()) and reason.isprintable() and len(reason) <= MAX_REASON,
                f"{what} raised Rejected({reason[:80]!r}): the reason is shown to the client; one line"
                f" of 1 to {MAX_REASON} printable characters",
            )
            return rejection
        if answer is None:
            return ()
        promise(
            isinstance(answer, list | tuple | set | frozenset)
            and all(isinstance(warning, str) for warning in answer),
            f"{what} returned {answer!r}: return None, or a list of warnings, each a str",
        )
        return tuple(answer)  # type: ignore[arg-type]

    async def test_it_accepts(
        self, extension: Validator, accepted: Sequence[Message], account: Account
    ) -> None:
        for message in accepted:
            answer = await self.verdict(extension, message, account)
            promise(
                not isinstance(answer, Rejected),
                f"{self.called('validate')} rejects message '{message.id}' ({answer}): it must accept"
                " what the fixture `accepted` gives",
            )

    async def test_it_rejects_with_a_reason(
        self, extension: Validator, rejected: Sequence[Message], account: Account
    ) -> None:
        promise(bool(rejected), "the fixture `rejected` gives no message")
        for message in rejected:
            answer = await self.verdict(extension, message, account)
            promise(
                isinstance(answer, Rejected),
                f"{self.called('validate')} accepts message '{message.id}': raise Rejected(reason)",
            )

    @pytest.mark.parametrize("what", list(samples.odd_messages()))
    async def test_it_answers_odd_messages(
        self, extension: Validator, account: Account, what: str
    ) -> None:
        await self.verdict(extension, samples.odd_messages()[what], account)

    async def test_it_answers_alike_every_time(
        self, extension: Validator, accepted: Sequence[Message], account: Account
    ) -> None:
        first = [str(await self.verdict(extension, m, account)) for m in accepted]
        again = [str(await self.verdict(extension, m, account)) for m in accepted]
        promise(
            first == again,
            f"{self.called('validate')} answers {first}, then {again}: a client that repeats a request"
            " must get the same answer",
        )

    async def test_it_changes_nothing(
        self, extension: Validator, accepted: Sequence[Message], account: Account
    ) -> None:
        for message in accepted:
            before = deepcopy((message, account))
            await self.verdict(extension, message, account)
            promise(
                (message, account) == before,
                f"{self.called('validate')} changed the message or the account: they are the service's;"
                " a validator may only say yes or no",
            )

    async def test_many_at_once_are_in_time_and_do_not_mix(
        self, make: Callable[[], Validator], extension: Validator, account: Account
    ) -> None:
        messages = [samples.message(f"m{n}", f"customer{n}@list.test") for n in range(50)]
        alone = [str(await self.verdict(extension, m, account, REQUEST_SECONDS)) for m in messages]
        together = await asyncio.gather(
            *(self.verdict(extension, m, account, REQUEST_SECONDS) for m in messages)
        )
        mixed = [m.id for m, a, b in zip(messages, alone, together, strict=True) if a != str(b)]
        promise(
            not mixed,
            f"{self.called('validate')} answers otherwise about {', '.join(mixed)} when many are asked"
            " at once: keep nothing of a message in self",
        )
