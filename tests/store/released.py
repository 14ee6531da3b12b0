"""``python tests/store/released.py VERSION``: keeps a database as that release makes it, for later ones.

Done once for each release that changes the schema. A dump, so that a reader sees what is in it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps

DUMPS = Path(__file__).parent / "released"
NOW = 1_750_000_000.0  # of all dates in it
SINK = "app"
PRAGMAS = ("application_id", "user_version")


async def fill(path: Path) -> None:
    """A message in each state, with limits, history, and reports that are owed."""
    clock = ManualClock(NOW)
    keys = KeyRing.load(path.with_name("asyncmail.key"))
    store = SQLiteStore(path, clock=clock, keys=keys)
    await store.open()
    steps = Steps(store, clock)
    await store.activate_sinks([SINK])
    await steps.account(per_hour=100)
    await steps.send("reported")
    await steps.report(SINK)
    await steps.send("sent")
    await steps.fail("error")
    await steps.add("retry")
    [claim] = await steps.claim()
    await store.record([steps.later(claim, 3600.0, attempts=1, error="451 later")])
    await steps.add("claimed")
    await steps.claim()
    await steps.add("deferred", deferred_ts=NOW + 86_400)
    await steps.add("queued")
    await store.close()


def dump(path: Path) -> str:
    """The whole database as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        values = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
        lines = [f"PRAGMA {name} = {value};" for name, value in values.items()]
        return "\n".join([*lines, *connection.iterdump(), ""])


def restore(script: Path, path: Path) -> None:
    """The database of a dump."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script.read_text("utf-8"))


def main(version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queue.db"
        asyncio.run(fill(path))
        DUMPS.mkdir(exist_ok=True)
        (DUMPS / f"{version}.sql").write_text(dump(path), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
