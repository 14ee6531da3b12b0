"""Passwords of accounts in the files: never in clear, and of no use with another key (G31)."""

from __future__ import annotations

from sqlite_stores import SQLiteStores

from asyncmail.store.base import Store
from asyncmail.store.keys import KeyRing
from asyncmail.testing.stores.accounts import FULL


async def test_the_password_is_not_on_the_disk(store: Store, stores: SQLiteStores) -> None:
    await store.put_account(FULL, keep_password=False)
    for file in stores.path.parent.iterdir():
        assert b"canary-password" not in file.read_bytes()


async def test_with_another_key_the_account_is_listed_without_a_password(
    store: Store, stores: SQLiteStores
) -> None:
    await store.put_account(FULL, keep_password=False)
    other = KeyRing.load(stores.path.with_name("other.key"))
    after = await stores.open_after_kill(keys=other)
    [account] = await after.accounts()
    assert (account.user, account.password) == ("user", None)
