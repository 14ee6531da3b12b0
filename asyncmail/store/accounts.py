"""Accounts as rows, their passwords encrypted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from asyncmail.model import Account, OnUncertain, RateLimits, Tls
from asyncmail.store.base import Lane
from asyncmail.store.connection import Connection, Row, Transaction
from asyncmail.store.keys import KeyRing
from asyncmail.store.writer import Operation

_COLUMNS = (
    *("tenant_id", "id", "host", "port", "user", "password", "ttl"),
    *("per_minute", "per_hour", "per_day", "error_over", "batch_size"),
    *("tls", "verify", "max_connections", "transport", "on_uncertain", "timeouts", "revision"),
)

_PUT = f"""
INSERT INTO accounts ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" for _ in _COLUMNS)})
ON CONFLICT DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in _COLUMNS if c != "password")}
"""  # noqa: S608 - column names of ours

_PUT_WITH_PASSWORD = _PUT + ", password = excluded.password"

ORPHAN_BATCH = 1000  # messages of one transaction

_ORPHAN = """
UPDATE messages SET state = 'orphaned', due = NULL, deferred_ts = NULL
WHERE key IN (
    SELECT key FROM messages WHERE state = '{state}' AND tenant_id = ? AND account_id = ? LIMIT ?)
RETURNING key
"""
_ORPHAN_READY = _ORPHAN.format(state="ready")
_ORPHAN_SCHEDULED = _ORPHAN.format(state="scheduled")
_ORPHAN_RETRY = _ORPHAN.format(state="retry")


@dataclass(frozen=True, slots=True)
class Put:
    """An account with its password already encrypted."""

    account: Account
    password: str | None
    keep_password: bool


def sealed(account: Account, keys: KeyRing, *, keep_password: bool) -> Put:
    """What is stored of an account."""
    password = None
    if account.password:
        password = keys.encrypt(account.password, bound_to=bond(account.tenant_id, account.id))
    return Put(account, password, keep_password)


async def find(
    connection: Connection, keys: KeyRing, tenant_id: str | None, id: str | None = None
) -> list[Account]:
    """All accounts, or those of a tenant, or one of them; by tenant and id."""
    rows = await connection.rows(
        "SELECT * FROM accounts WHERE tenant_id = coalesce(?, tenant_id) AND id = coalesce(?, id) "
        "ORDER BY tenant_id, id",
        (tenant_id, id),
    )
    return [_account(row, keys) for row in rows]


def _put(tx: Transaction, puts: Sequence[Put]) -> list[None]:
    for one, revision in zip(puts, tx.numbers("revision", len(puts)), strict=True):
        sql = _PUT if one.keep_password else _PUT_WITH_PASSWORD
        tx.rows(sql, _row(one, revision))
    return [None for _ in puts]


put: Operation[Put, None] = Operation("put account", _put)


def _delete(tx: Transaction, lanes: Sequence[Lane]) -> list[bool | None]:
    """Whether there was such an account; ``None``: there is more of its mail, call it again.

    The account goes with the last of what waits, so that a new one of that id inherits none of it.
    """
    answers: list[bool | None] = []
    for lane in lanes:
        name = (lane.tenant_id, lane.account_id)
        left = ORPHAN_BATCH
        for sql in (_ORPHAN_READY, _ORPHAN_SCHEDULED, _ORPHAN_RETRY):
            left -= len(tx.rows(sql, (*name, left)))
        if left:
            sql = "DELETE FROM accounts WHERE tenant_id = ? AND id = ? RETURNING id"
            answers.append(bool(tx.rows(sql, name)))
        else:
            answers.append(None)
    return answers


delete: Operation[Lane, bool | None] = Operation("delete account", _delete)


def bond(tenant_id: str, account_id: str) -> str:
    """What a password is bound to: moved to another account it does not open."""
    return json.dumps([tenant_id, account_id])


def _row(put: Put, revision: int) -> tuple[object, ...]:
    account = put.account
    return (
        account.tenant_id,
        account.id,
        account.host,
        account.port,
        account.user,
        put.password,
        account.ttl,
        account.limits.per_minute or None,
        account.limits.per_hour or None,
        account.limits.per_day or None,
        int(account.limits.error_over),
        account.batch_size,
        account.tls.value,
        int(account.verify),
        account.max_connections,
        account.transport,
        account.on_uncertain.value if account.on_uncertain else None,
        json.dumps(dict(account.timeouts)),
        revision,
    )


def _account(row: Row, keys: KeyRing) -> Account:
    password = row["password"]
    if password is not None:
        password = keys.decrypt(password, bound_to=bond(row["tenant_id"], row["id"]))
    return Account(
        id=row["id"],
        host=row["host"],
        port=row["port"],
        user=row["user"],
        password=password,
        tenant_id=row["tenant_id"],
        ttl=row["ttl"],
        limits=RateLimits(
            row["per_minute"], row["per_hour"], row["per_day"], bool(row["error_over"])
        ),
        batch_size=row["batch_size"],
        tls=Tls(row["tls"]),
        verify=bool(row["verify"]),
        max_connections=row["max_connections"],
        transport=row["transport"],
        on_uncertain=OnUncertain(row["on_uncertain"]) if row["on_uncertain"] else None,
        timeouts=json.loads(row["timeouts"]),
        revision=row["revision"],
    )
