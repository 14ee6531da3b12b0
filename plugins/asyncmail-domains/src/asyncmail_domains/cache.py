"""What DNS said, for as long as it holds; the entry that was not used for longest gives way first."""

from __future__ import annotations

from collections import OrderedDict

from asyncmail.clock import Clock
from asyncmail_domains.mx import Answer, Finding

MAX_NEGATIVE_TTL = 300.0  # seconds; a domain that was just set up should not be refused for longer


class Cache:
    """At most ``size`` findings, none for longer than ``max_ttl`` seconds of steady time."""

    def __init__(self, size: int, max_ttl: float, clock: Clock) -> None:
        self._size = size
        self._max_ttl = max_ttl
        self._clock = clock
        self._entries: OrderedDict[str, tuple[Finding, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, domain: str) -> Finding | None:
        entry = self._entries.get(domain)
        if entry is None:
            return None
        finding, expires = entry
        if expires <= self._clock.steady():
            del self._entries[domain]
            return None
        self._entries.move_to_end(domain)
        return finding

    def put(self, domain: str, finding: Finding) -> None:
        ttl = min(finding.ttl, self._max_ttl)
        if finding.answer is Answer.NO:
            ttl = min(ttl, MAX_NEGATIVE_TTL)
        self._entries[domain] = finding, self._clock.steady() + ttl
        self._entries.move_to_end(domain)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
