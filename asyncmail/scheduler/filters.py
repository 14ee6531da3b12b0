"""The filters between building and sending: each gets what the one before it returned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from asyncmail.mime.lines import content_refusal
from asyncmail.model import Account, Message
from asyncmail.plugins.guard import FILTER_DEADLINE, GuardedTask
from asyncmail.plugins.interfaces import Filter
from asyncmail.plugins.kinds import Loaded


async def filtered(
    filters: Sequence[Loaded[Filter]],
    task: GuardedTask[Any],
    data: bytes,
    message: Message,
    account: Account,
    *,
    max_bytes: int,
) -> bytes:
    """The bytes that go to the transport.

    Raises ``ExtensionFailed`` or ``ExtensionQuarantined``, which name the filter: the message is tried
    again later, never sent without it.
    """
    for loaded in filters:
        data = await task.call(
            loaded,
            partial(loaded.extension.apply, data, message, account),
            deadline=FILTER_DEADLINE,
            expect=partial(_checked, max_bytes),
        )
    return data


def _checked(max_bytes: int, answer: object) -> bytes:
    """Only what can be sent as it is: a transport would refuse anything else for good."""
    if not isinstance(answer, bytes):
        raise TypeError(f"apply() should return bytes, not {type(answer).__name__}")
    if not answer:
        raise ValueError("apply() returned no bytes")
    if len(answer) > max_bytes:
        raise ValueError(f"apply() returned {len(answer)} bytes, {max_bytes} are allowed")
    refusal = content_refusal(answer)
    if refusal is not None:
        raise ValueError(f"after apply() {refusal}")
    return answer
