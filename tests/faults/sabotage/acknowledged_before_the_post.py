"""A sabotaged ``asyncmail``: a report counts as delivered before it is posted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asyncmail.__main__ import main
from asyncmail.builtin.genropy import GenropySink
from asyncmail.model import Report
from asyncmail.plugins.interfaces import Ack

_deliver = GenropySink.deliver
_under_way: set[asyncio.Task[Ack]] = set()


async def _soon(self: GenropySink, reports: Sequence[Report]) -> Ack:
    async def later() -> Ack:
        await asyncio.sleep(0.1)  # the acknowledgement is committed first
        return await _deliver(self, reports)

    task = asyncio.create_task(later())
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return Ack()


if __name__ == "__main__":
    GenropySink.deliver = _soon  # type: ignore[method-assign]
    main()
