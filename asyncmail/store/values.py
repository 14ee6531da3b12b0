"""How values of the model look inside a column, and which states a status stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic_core import to_json

from asyncmail.model import Disposition, RecipientOutcome
from asyncmail.store.base import Lane, Status

READY: Final = "ready"
SCHEDULED: Final = "scheduled"
RETRY: Final = "retry"
ORPHANED: Final = "orphaned"
CLAIMED: Final = "claimed"
SENT: Final = "sent"
ERROR: Final = "error"

STATES: Final[Mapping[Status, tuple[str, ...]]] = {
    Status.QUEUED: (READY, ORPHANED),
    Status.SENDING: (CLAIMED,),
    Status.DEFERRED: (SCHEDULED, RETRY),
    Status.SENT: (SENT,),
    Status.ERROR: (ERROR,),
}
STATUS: Final[Mapping[str, Status]] = {s: status for status, of in STATES.items() for s in of}


def keys_json(keys: Iterable[int]) -> str:
    """Keys for ``IN (SELECT value FROM json_each(?))``, which has no limit on their number."""
    return json.dumps(list(keys))


def lanes_json(lanes: Iterable[Lane]) -> str:
    """Lanes for ``json_each``: a list of [tenant id, account id]."""
    return json.dumps([[lane.tenant_id, lane.account_id] for lane in lanes])


def outcomes_text(outcomes: Iterable[RecipientOutcome]) -> str:
    told = [[o.recipient, o.disposition.value, o.code, o.enhanced, o.text] for o in outcomes]
    return to_json(told).decode()


def outcomes_from(text: str | None) -> tuple[RecipientOutcome, ...]:
    if text is None:
        return ()
    return tuple(
        RecipientOutcome(recipient, Disposition(disposition), code, enhanced, words)
        for recipient, disposition, code, enhanced, words in json.loads(text)
    )


def settled_from(text: str | None) -> dict[str, RecipientOutcome]:
    return {outcome.recipient: outcome for outcome in outcomes_from(text)}


def tags_text(tags: Sequence[str]) -> str | None:
    return json.dumps(list(tags)) if tags else None


def tags_from(text: str | None) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()


def whole(seconds: float | None) -> int | None:
    """Seconds as they are shown."""
    return None if seconds is None else int(seconds)
