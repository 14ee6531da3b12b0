"""A sabotaged ``asyncmail``: claims live in memory alone, so that a crash leaves no trace of them."""

from __future__ import annotations

from asyncmail.__main__ import main
from asyncmail.store import claims
from asyncmail.store.connection import Transaction


def _forget(tx: Transaction) -> None:
    """A start finds every message that was claimed as if nobody had ever claimed it."""
    tx.rows(
        "UPDATE messages SET state = 'ready', claim_token = NULL, claim_unit = 0, claim_intent = 0"
        " WHERE state = 'claimed'"
    )


if __name__ == "__main__":
    claims.disown = _forget
    main()
