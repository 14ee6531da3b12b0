"""A sabotaged ``asyncmail``: the client is told that its messages are kept before they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asyncmail.__main__ import main
from asyncmail.store.base import Addition, NewMessage
from asyncmail.store.sqlite import SQLiteStore

_add = SQLiteStore.add
_under_way: set[asyncio.Task[list[Addition]]] = set()


async def _soon(
    self: SQLiteStore, messages: Sequence[NewMessage], *, replace: bool = False
) -> list[Addition]:
    async def later() -> list[Addition]:
        await asyncio.sleep(0.005)  # the answer leaves first
        return await _add(self, messages, replace=replace)

    task = asyncio.create_task(later())
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return [Addition.STORED for _ in messages]


if __name__ == "__main__":
    SQLiteStore.add = _soon  # type: ignore[method-assign]
    main()
