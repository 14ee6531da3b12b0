"""The mail of a crash run: what is in a message and what befalls it follows from seed and id."""

from __future__ import annotations

from random import Random
from typing import Any

from asyncmail.testing.real_service import mail

LIMITED = "limited"  # the account with a rate limit
LIMIT = 20  # messages a minute
LONG_BODY = "Thank you for the order, which will reach you soon.\n" * 4000  # several writes

# Percent of the messages, and the script in the recipient's address (asyncmail.testing.faultsmtp).
SCRIPTS = (
    (5, "dot.accept.sleep400"),  # a slow dot
    (2, "dot.accept.drop~1"),  # taken, the reply is lost
    (2, "rcpt.550"),
    (1, "dot.550"),
    (2, "rcpt.451~1"),
)
SEVERAL = 5  # percent with three recipients
PARTIAL = 2  # percent of which one of three is refused
LONG = "7"  # the last digit of the ids whose messages are long


class Mails:
    """Makes the messages of a run. ``decided``: each says itself what an uncertain delivery means."""

    def __init__(self, seed: int, *, decided: bool = False) -> None:
        self._seed = seed
        self._decided = decided

    def mail(self, id: str) -> dict[str, Any]:
        """The payload of an id, the same each time."""
        random = Random(f"{self._seed}/{id}/content")  # noqa: S311 - not a secret
        more: dict[str, Any] = {}
        if self._decided:
            more["on_uncertain"] = random.choice(("hold", "retry"))
        if id.endswith(LONG):
            more["body"] = LONG_BODY
        if id.startswith(LIMITED):
            more["account_id"] = LIMITED
        return mail(id, self.recipients(id), **more)

    def recipients(self, id: str) -> list[str]:
        """Where an id goes."""
        dice = Random(f"{self._seed}/{id}").randrange(100)  # noqa: S311 - not a secret
        for percent, script in SCRIPTS:
            if dice < percent:
                return [f"{id}+{script}@fault.test"]
            dice -= percent
        if dice < PARTIAL:
            return [f"{id}@fault.test", f"{id}.b@fault.test", f"{id}.c+rcpt.550@fault.test"]
        if dice < PARTIAL + SEVERAL:
            return [f"{id}@fault.test", f"{id}.b@fault.test", f"{id}.c@fault.test"]
        return [f"{id}@fault.test"]
