"""The statements of the hot paths walk an index; none reads the whole table or sorts it."""

from __future__ import annotations

import re

import pytest
from sqlite_stores import SQLiteStores

from asyncmail.store import (
    accept,
    accounts,
    claims,
    listing,
    publish,
    queue,
    reports,
    results,
    retention,
)
from asyncmail.store.base import Filter

HOT = {
    "known ids": accept._KNOWN,
    "first ready": claims._FIRST_READY,
    "claim": claims._CLAIM_READY,
    "claim by key": claims._CLAIM_CHOSEN,
    "rescue": claims._RESCUE,
    "release": claims._UNCLAIM,
    "claimed": claims._CLAIMED,
    "record": results._RECORD.format(rows="(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)"),
    "publish": publish._RESULT.format(rows="(1, 2, 3)"),
    "owned": results._OWNED,
    "promote scheduled": queue._PROMOTE_SCHEDULED,
    "promote retries": queue._PROMOTE_RETRY,
    "next due": queue._DUE,
    "aged": queue._AGED,
    "orphaned": queue._ORPHANED,
    "orphan ready ones": accounts._ORPHAN_READY,
    "orphan waiting ones": accounts._ORPHAN_RETRY,
    "orphans ready": queue._ORPHANS_READY,
    "orphans waiting": queue._ORPHANS_RETRY,
    "pending": queue._PENDING,
    "ready lanes": queue._READY_LANES,
    "lanes": queue._MESSAGE_LANES,
    "longest wait": queue._OLDEST,
    "unreported": reports._PENDING,
    "oldest unreported": reports._OLDEST,
    "messages of reports": reports._MESSAGES,
    "acknowledge": reports._ACKNOWLEDGE,
    "reported": reports._REPORTED,
    "retire": retention._RETIRE,
}


async def plan(stores: SQLiteStores, sql: str) -> list[str]:
    store = await stores.open()
    rows = await store._looking.rows(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))
    return [row["detail"] for row in rows]


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_walks_an_index(stores: SQLiteStores, name: str) -> None:
    steps = await plan(stores, HOT[name])
    whole = [step for step in steps if re.match(r"SCAN (m|p|s|d|r|\w*messages|reports)$", step)]
    assert not whole, steps
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


@pytest.mark.parametrize(
    ("which", "step"),
    [
        (Filter("t"), "SEARCH messages USING INTEGER PRIMARY KEY (rowid>?)"),
        (
            Filter("t", account_id="a"),
            "SEARCH messages USING INDEX messages_of_account (tenant_id=? AND account_id=? AND key>?)",
        ),
    ],
)
async def test_a_page_is_read_in_key_order(stores: SQLiteStores, which: Filter, step: str) -> None:
    where, _ = listing._where(which, 0)
    steps = await plan(stores, f"SELECT key, size FROM messages WHERE {where} ORDER BY key LIMIT ?")
    assert steps == [step]


async def test_retention_looks_at_what_is_old_enough_only(stores: SQLiteStores) -> None:
    steps = await plan(stores, retention._RETIRABLE)
    assert any(
        "messages_done (tenant_id=? AND account_id=? AND done_ts>? AND done_ts<?)" in s
        for s in steps
    ), steps


@pytest.mark.parametrize("sql", [queue._READY_LANES, queue._MESSAGE_LANES, queue._OLDEST])
async def test_lanes_are_stepped_over_not_walked_through(stores: SQLiteStores, sql: str) -> None:
    steps = await plan(stores, sql)
    assert any("(tenant_id=? AND account_id>?)" in s for s in steps), steps
