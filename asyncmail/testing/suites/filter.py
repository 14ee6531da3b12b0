"""The promises of a filter: the same proper bytes on every attempt, for this message alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from email import policy
from email.parser import BytesParser

import pytest

from asyncmail.model import Account, Message
from asyncmail.plugins.interfaces import Filter
from asyncmail.testing import samples
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.calls import promise

MAX_LINE = 998  # octets without CRLF (RFC 5322 2.1.1)
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_KEPT = ("From", "To", "Subject", "Message-ID", "Date")


class FilterSuite(Suite[Filter]):
    """Subclass it as ``class TestMine(FilterSuite)`` and say ``offer``; see ``Suite``.

    ``messages``: a fixture to override if the filter treats some messages differently.
    ``keeps``: the header fields that it leaves as they are; a filter that rewrites one overrides it.
    """

    kind = Filter
    keeps: Sequence[str] = _KEPT

    @pytest.fixture
    def messages(self) -> Sequence[Message]:
        odd = samples.odd_messages()
        del odd["an attachment"]
        return [samples.message(), *odd.values()]

    @pytest.fixture
    def account(self) -> Account:
        return samples.ACCOUNT

    async def use(self, extension: Filter) -> None:
        await self.filtered(extension, samples.message(), samples.ACCOUNT)

    async def filtered(self, filter_: Filter, message: Message, account: Account) -> bytes:
        """What the filter makes of a message's bytes."""
        what = f"{self.called('apply')} of message '{message.id}'"
        data: object = await self.ask(
            what,
            lambda: filter_.apply(samples.built(message), message, account),
            advice="the message would wait and be tried again for days; return bytes for every message",
        )
        promise(
            type(data) is bytes and bool(data),
            f"{what} returned {type(data).__name__}: return the bytes to send, unchanged bytes if there"
            " is nothing to do",
        )
        return data  # type: ignore[return-value]

    async def test_the_bytes_are_the_same_on_every_attempt(
        self,
        make: Callable[[], Filter],
        extension: Filter,
        messages: Sequence[Message],
        account: Account,
        clock: ManualClock,
    ) -> None:
        first = [await self.filtered(extension, message, account) for message in messages]
        clock.advance(3600)
        again = [await self.filtered(extension, message, account) for message in messages]
        other = make()
        await self.start(other)
        restarted = [await self.filtered(other, message, account) for message in messages]
        await self.stop(other)
        for when, later in (("an hour later", again), ("after a restart", restarted)):
            differing = [m.id for m, a, b in zip(messages, first, later, strict=True) if a != b]
            promise(
                not differing,
                f"{self.called('apply')} returns other bytes {when} for {', '.join(differing)}: take"
                " times from message.created_ts, and no random values, so that a second copy is known"
                " for what it is",
            )

    async def test_lines_end_in_crlf_and_are_not_too_long(
        self, extension: Filter, messages: Sequence[Message], account: Account
    ) -> None:
        for message in messages:
            data = await self.filtered(extension, message, account)
            what = f"{self.called('apply')} of message '{message.id}'"
            promise(
                not _BARE.search(data) and data.endswith(b"\r\n"),
                f"{what} returned lines that do not end in CRLF: every line does, the last one too",
            )
            longest = max(map(len, data.split(b"\r\n")))
            promise(
                longest <= MAX_LINE,
                f"{what} returned a line of {longest} octets, {MAX_LINE} are allowed: fold it",
            )

    async def test_the_message_can_still_be_read(
        self, extension: Filter, messages: Sequence[Message], account: Account
    ) -> None:
        parser = BytesParser(policy=policy.default.clone(utf8=True))
        for message in messages:
            before = parser.parsebytes(samples.built(message))
            after = parser.parsebytes(await self.filtered(extension, message, account))
            what = f"{self.called('apply')} of message '{message.id}'"
            promise(
                not after.defects,
                f"{what} returned what a parser finds wrong ({after.defects}): keep header fields on"
                " top, one empty line, then the body",
            )
            changed = [name for name in self.keeps if before.get_all(name) != after.get_all(name)]
            promise(
                not changed,
                f"{what} changed {', '.join(changed)}: leave what readers see, or, if that is the"
                " filter's purpose, take the name out of `keeps`",
            )

    async def test_message_and_account_are_not_touched(
        self, extension: Filter, messages: Sequence[Message], account: Account
    ) -> None:
        for message in messages:
            before = deepcopy((message, account))
            await self.filtered(extension, message, account)
            promise(
                (message, account) == before,
                f"{self.called('apply')} changed the message or the account: return new bytes instead",
            )

    async def test_many_at_once_do_not_mix(
        self, extension: Filter, messages: Sequence[Message], account: Account
    ) -> None:
        many = [*messages, *(samples.message(f"m{n}", f"c{n}@list.test") for n in range(20))]
        alone = [await self.filtered(extension, message, account) for message in many]
        together = await asyncio.gather(*(self.filtered(extension, m, account) for m in many))
        mixed = [m.id for m, a, b in zip(many, alone, together, strict=True) if a != b]
        promise(
            not mixed,
            f"{self.called('apply')} returns other bytes for {', '.join(mixed)} when many are filtered"
            " at once: keep nothing of a message in self",
        )

    async def test_no_secret_is_in_the_bytes(
        self, extension: Filter, account: Account, secrets: frozenset[str]
    ) -> None:
        data = await self.filtered(extension, samples.message(), account)
        self.keeps_secrets(data.decode("utf-8", "replace"), secrets, "the message")
