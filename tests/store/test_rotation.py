"""Stored passwords under a new key: all of them or none, whatever happens on the way (G31)."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlite_stores import SQLiteStores

from asyncmail.errors import DatabaseHeld, DatabaseUnusable
from asyncmail.model import Account
from asyncmail.store.keys import KeyRing, add_key
from asyncmail.store.rotation import rotate

ACCOUNTS = ("a", "b", "c")

KILLED = """
import os, signal, sys
from pathlib import Path
from asyncmail.store.keys import KeyRing
from asyncmail.store.rotation import rotate

encrypt, calls = KeyRing.encrypt, []

def dying(self, secret, *, bound_to):
    calls.append(bound_to)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return encrypt(self, secret, bound_to=bound_to)

KeyRing.encrypt = dying
rotate(Path(sys.argv[1]), KeyRing.read(Path(sys.argv[2])))
"""


@pytest.fixture
async def stores(stores: SQLiteStores) -> SQLiteStores:
    """A stopped service with three passwords and an account without one; two keys in its file."""
    store = await stores.open()
    for id in ACCOUNTS:
        account = Account(id, "mail.example", user="u", password=f"password-{id}")
        await store.put_account(account, keep_password=False)
    await store.put_account(Account("open", "mail.example"), keep_password=False)
    await store.close()
    add_key(key_file(stores))
    return stores


def key_file(stores: SQLiteStores) -> Path:
    return stores.path.with_name("asyncmail.key")


async def passwords(stores: SQLiteStores, keys: KeyRing) -> dict[str, str | None]:
    """What a service with these keys reads; it is stopped again."""
    store = await stores.open(keys=keys)
    found = {account.id: account.password for account in await store.accounts()}
    await store.close()
    return found


def only(keys: Iterable[str], file: Path) -> KeyRing:
    """The ring of a file from which other lines were taken."""
    lines = [line for line in file.read_text().splitlines() if line.split()[0] in keys]
    file.write_text("\n".join(lines))
    return KeyRing.read(file)


async def test_afterwards_the_newest_key_alone_opens_every_password(stores: SQLiteStores) -> None:
    keys = KeyRing.read(key_file(stores))
    done = rotate(stores.path, keys)
    assert (done.renewed, done.kept, done.lost) == (3, 0, ())
    assert done.idle == keys.ids[1:]
    newest = only(keys.ids[:1], key_file(stores))
    assert await passwords(stores, newest) == {id: f"password-{id}" for id in ACCOUNTS} | {
        "open": None
    }


async def test_a_second_time_there_is_nothing_to_do(stores: SQLiteStores) -> None:
    keys = KeyRing.read(key_file(stores))
    rotate(stores.path, keys)
    before = stores.path.read_bytes()
    done = rotate(stores.path, keys)
    assert (done.renewed, done.kept) == (0, 3)
    assert stores.path.read_bytes() == before


@pytest.mark.fault("secrets.rotation_killed")
async def test_killed_half_way_all_passwords_are_as_they_were(stores: SQLiteStores) -> None:
    before = sealed(stores.path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(stores.path), str(key_file(stores))
    )
    assert await process.wait() == -signal.SIGKILL
    keys = KeyRing.read(key_file(stores))
    assert {id: p for id, p in (await passwords(stores, keys)).items() if p} == {
        id: f"password-{id}" for id in ACCOUNTS
    }
    assert sealed(stores.path) == before
    assert rotate(stores.path, keys).renewed == 3


@pytest.mark.fault("secrets.password_moved")
async def test_what_no_key_opens_is_named_and_left_as_it_is(stores: SQLiteStores) -> None:
    with sqlite3.connect(stores.path) as connection:  # a password moved to another account
        connection.execute(
            "UPDATE accounts SET password = (SELECT password FROM accounts WHERE id = 'a')"
            " WHERE id = 'b'"
        )
    connection.close()
    moved = sealed(stores.path)[1]
    keys = KeyRing.read(key_file(stores))
    done = rotate(stores.path, keys)
    assert (done.renewed, done.lost) == (2, ("b",))
    assert done.idle == ()  # the key that made it is still needed, if it is ever moved back
    assert sealed(stores.path)[1] == moved
    assert (await passwords(stores, keys))["b"] is None


async def test_a_database_that_a_service_has_is_left_alone(stores: SQLiteStores) -> None:
    before = sealed(stores.path)
    store = await stores.open()
    with pytest.raises(DatabaseHeld):
        rotate(stores.path, KeyRing.read(key_file(stores)))
    await store.close()
    assert sealed(stores.path) == before


def test_there_has_to_be_a_database_of_ours(tmp_path: Path) -> None:
    keys = KeyRing.load(tmp_path / "key")
    path = tmp_path / "mail.db"
    with pytest.raises(DatabaseUnusable, match="there is none"):
        rotate(path, keys)
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE accounts (tenant_id, id, password)")
    connection.close()
    with pytest.raises(DatabaseUnusable, match="another program"):
        rotate(path, keys)
    path.write_bytes(b"x" * 5000)
    with pytest.raises(DatabaseUnusable, match="not a database"):
        rotate(path, keys)


def sealed(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT password FROM accounts WHERE password IS NOT NULL ORDER BY id"
    ).fetchall()
    connection.close()
    return [text for (text,) in found]
