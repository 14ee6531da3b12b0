"""What a server knows across its connections: copies taken, violations, counters, scripts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from asyncmail.testing.faultsmtp.copies import Copy
from asyncmail.testing.faultsmtp.profile import Profile
from asyncmail.testing.faultsmtp.script import RAW, Clause, clauses_of_address, parse_clauses
from asyncmail.testing.faultsmtp.strict import Violation
from asyncmail.testing.ledger import Ledger
from asyncmail.testing.waiting import Waitable


class Books(Waitable):
    """The server's memory; ``FaultSMTP`` shows it to the test."""

    def __init__(
        self, profile: Profile, *, ledger: Path | str | None, seed: int, strict: bool
    ) -> None:
        super().__init__()
        self.accepted: list[Copy] = []
        self.unanswered: list[Copy] = []  # taken, and the connection ended before the reply
        self.copies: Counter[tuple[str, str]] = Counter()  # (Message-ID header, recipient)
        self.violations: list[Violation] = []
        self.connections = 0
        self.concurrent = 0
        self.concurrent_max = 0
        self.dots_pending = 0  # dots whose reply has not been sent
        self.strict = strict
        self.ledger = Ledger(ledger)
        self._seed = seed
        self._drawn: Counter[tuple[str, str]] = Counter()
        self._applied: Counter[tuple[str, str]] = Counter()
        self.profile = profile

    @property
    def profile(self) -> Profile:
        """What the server is like; a new value holds at once, for open connections too."""
        return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._raw: Mapping[str, bytes] = {**RAW, **profile.raw}
        self._general = parse_clauses(profile.script, self._raw)
        self._profile = profile

    # --- scripts -------------------------------------------------------------------------------

    def clauses(self, address: str) -> dict[str, Clause]:
        """The clauses that an address carries; raises ``ScriptError``."""
        return clauses_of_address(address, self._raw) if "+" in address else {}

    def choose(self, verb: str, candidates: Mapping[str, Mapping[str, Clause]]) -> Clause | None:
        """The first clause for a verb that applies now: by address, then the profile's own."""
        for address, clauses in candidates.items():
            if (clause := clauses.get(verb)) is not None and self._applies(address, clause):
                return clause
        clause = self._general.get(verb)
        return clause if clause is not None and self._applies("", clause) else None

    def _applies(self, address: str, clause: Clause) -> bool:
        key = (address, clause.verb)
        if clause.times is not None and self._applied[key] >= clause.times:
            return False
        self._drawn[key] += 1
        # One generator per draw: the outcome does not depend on what other connections do.
        draw = random.Random(f"{self._seed}/{address}/{clause.verb}/{self._drawn[key]}")  # noqa: S311 - not a secret
        if draw.random() * 100 >= clause.percent:
            return False
        self._applied[key] += 1
        return True

    # --- events --------------------------------------------------------------------------------

    def connected(self) -> int:
        """Count a connection and return its number."""
        self.connections += 1
        self.concurrent += 1
        self.concurrent_max = max(self.concurrent_max, self.concurrent)
        self.changed()
        return self.connections

    def disconnected(self) -> None:
        self.concurrent -= 1
        self.changed()

    def take(self, copy: Copy) -> None:
        """Record an accepted copy, in the ledger first."""
        self.ledger.write(copy.line("copy"))
        self.accepted.append(copy)
        self.copies.update((copy.message_id, recipient) for recipient in copy.recipients)
        self.changed()

    def never_answered(self, copy: Copy) -> None:
        """Record that the client of an accepted copy got no reply."""
        self.ledger.write(copy.line("unanswered"))
        self.unanswered.append(copy)
        self.changed()

    def violation(self, connection: int, rule: str, detail: str) -> None:
        if self.strict:
            self.violations.append(Violation(connection, rule, detail))
            self.changed()
