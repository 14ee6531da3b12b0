"""Databases of earlier releases open, keep what they hold, and end up equal to fresh ones (G23)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import released
from sqlite_stores import SQLiteStores

from asyncmail.store import migrations
from asyncmail.store.base import Lane
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps

DUMPS = sorted(released.DUMPS.glob("*.sql"))
STATUSES = {
    "reported": "sent",
    "sent": "sent",
    "error": "error",
    "retry": "deferred",
    "claimed": "queued",
    "deferred": "deferred",
    "queued": "queued",
}


def objects(path: Path) -> dict[str, str]:
    """Every table and index; how their text is laid out is no difference."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {name: " ".join(sql.split()) for name, sql in found}


def version_in(script: Path) -> int:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script.read_text("utf-8"))
        return migrations.version_of(connection)


def test_there_is_a_database_of_each_schema() -> None:
    assert {version_in(script) for script in DUMPS} == {step.version for step in migrations.known()}


@pytest.mark.fault("disk.old_database")
@pytest.mark.parametrize("script", DUMPS, ids=[script.stem for script in DUMPS])
async def test_a_database_of_an_earlier_release_keeps_what_it_holds_and_goes_on(
    stores: SQLiteStores, script: Path
) -> None:
    released.restore(script, stores.path)
    clock = ManualClock(released.NOW + 60)
    store = await stores.open(clock=clock)
    steps = Steps(store, clock)
    taken_up = await store.rescue()
    assert [claim.id for claim in taken_up] == ["claimed"]
    await store.release(taken_up)
    assert {record.id: record.status for record in await steps.listed()} == STATUSES
    assert json.loads((await steps.one("queued")).payload)["to"] == ["b@example.org"]
    assert [report.id for report in await store.unreported(released.SINK, 10)] == ["sent", "error"]
    account = await store.account(Lane("default", "shop"))
    assert account is not None
    assert account.limits.per_hour == 100

    claims = await steps.claim()
    assert {claim.id for claim in claims} == {"claimed", "queued"}
    await store.record([steps.sent(claim) for claim in claims])
    assert len(await steps.report(released.SINK)) == 4
    await steps.send("new")
    await store.close()

    other = stores.path.with_name("fresh.db")
    old, stores.path = stores.path, other
    await (await stores.open()).close()
    assert objects(old) == objects(other)
