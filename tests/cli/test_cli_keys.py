"""``asyncmail keys``: a new key, and the stored passwords under it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from stub_service import Run

from asyncmail.clock import SystemClock
from asyncmail.model import Account
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore

DATABASE, KEY_FILE = Path("asyncmail.db"), Path("asyncmail.key")


def service() -> SQLiteStore:
    return SQLiteStore(DATABASE, clock=SystemClock(), keys=KeyRing.load(KEY_FILE))


async def with_password() -> None:
    store = service()
    await store.open()
    account = Account("shop", "mail.example", user="shop", password="s3cret-w0rd")
    await store.put_account(account, keep_password=False)
    await store.close()


async def test_a_key_is_made_and_the_passwords_renewed_with_it(run: Run) -> None:
    await with_password()
    (old,) = KeyRing.read(KEY_FILE).ids
    made = run("keys", "generate")
    new = KeyRing.read(KEY_FILE).ids[0]
    assert made.stdout == f"asyncmail.key: key {new} encrypts from the next start on; 2 in all\n"
    assert "asyncmail keys rotate" in made.stderr
    rotated = run("keys", "rotate")
    assert rotated.stdout == f"key {new}: 1 passwords renewed, 0 had it already\n"
    assert f"only old backups may need the lines {old}" in rotated.stderr
    assert json.loads(run("keys", "rotate", "--json").stdout) == {
        "key": new,
        "renewed": 0,
        "kept": 1,
        "lost": [],
        "idle": [old],
    }


def test_no_key_is_ever_shown(run: Run) -> None:
    shown = [run("keys", "generate", *more).output for more in ((), ("--json",), ("--json",))]
    keys = [line.split()[1] for line in KEY_FILE.read_text().splitlines()]
    assert len(keys) == 3
    assert json.loads(shown[2])["keys"] == list(KeyRing.read(KEY_FILE).ids)
    assert not [key for key in keys if key in "".join(shown)]


async def test_while_the_service_runs_nothing_is_rotated(run: Run) -> None:
    store = service()
    await store.open()
    assert "is held by process" in run("keys", "rotate", code=4).stderr
    await store.close()


async def test_passwords_that_no_key_opens_are_named_by_rotate_and_by_check(run: Run) -> None:
    await with_password()
    os.unlink(KEY_FILE)
    assert "cannot be read" in run("keys", "rotate", code=1).stderr
    assert KEY_FILE.name not in os.listdir()
    run("keys", "generate")
    assert "account 'shop': no key opens its password" in run("keys", "rotate", code=1).stderr
    checked = run("check", "--json")
    assert json.loads(checked.stdout)["warnings"] == [
        "account 'shop': no key of asyncmail.key opens its password; register it again"
    ]


def test_there_is_nothing_to_rotate_without_a_database(run: Run) -> None:
    run("keys", "generate")
    assert "there is none" in run("keys", "rotate", code=3).stderr
    assert not DATABASE.exists()
