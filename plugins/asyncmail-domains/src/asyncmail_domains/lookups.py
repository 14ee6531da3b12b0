"""Looking domains up: from memory, else side by side, waiting for a short time only.

What is not answered in time goes on in the background, so that the next message finds the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable

from asyncmail_domains.cache import Cache
from asyncmail_domains.mx import Answer, Finding, MailHosts
from asyncmail_domains.patience import Patience

MAX_LOOKUPS = 100  # at a time


class Lookups:
    """``find`` never raises and never takes longer than ``deadline`` seconds."""

    def __init__(
        self, hosts: MailHosts, cache: Cache, deadline: float, logger: logging.Logger
    ) -> None:
        self._hosts = hosts
        self._cache = cache
        self._deadline = deadline
        self._log = logger
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(self._loop.time)
        self._running: dict[str, asyncio.Task[Finding]] = {}

    async def find(self, domains: Iterable[str]) -> dict[str, Finding]:
        """A finding for each domain; ``UNKNOWN`` for those that DNS did not answer in time."""
        wanted = list(dict.fromkeys(domains))
        found = {d: finding for d in wanted if (finding := self._cache.get(d)) is not None}
        missing = [domain for domain in wanted if domain not in found]
        tasks = {domain: task for domain in missing if (task := self._look_up(domain)) is not None}
        await self._wait(tasks.values())
        found |= {domain: task.result() for domain, task in tasks.items() if task.done()}
        late = Finding(Answer.UNKNOWN, words="no answer in time")
        return {domain: found.get(domain, late) for domain in wanted}

    async def close(self) -> None:
        """End what is still under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look_up(self, domain: str) -> asyncio.Task[Finding] | None:
        """The one lookup of a domain that is under way; none if there are too many."""
        task = self._running.get(domain)
        if task is None and len(self._running) < MAX_LOOKUPS:
            task = self._running[domain] = self._loop.create_task(self._learn(domain))
            task.add_done_callback(lambda _: self._running.pop(domain, None))
        return task

    async def _learn(self, domain: str) -> Finding:
        try:
            finding = await self._hosts.find(domain)
        except Exception:
            self._log.exception("the lookup of %s failed", domain)
            finding = Finding(Answer.UNKNOWN, words="the lookup failed")
        self._cache.put(domain, finding)
        return finding

    async def _wait(self, tasks: Collection[asyncio.Task[Finding]]) -> None:
        """Until they are done, or for as long as patience lasts. They outlive their waiters."""
        seconds = min(self._deadline, self._patience.left)
        if tasks and seconds > 0:
            begun = self._loop.time()
            try:
                await asyncio.wait(tasks, timeout=seconds)
            finally:
                self._patience.spend(self._loop.time() - begun)
