"""Accounts: complete, replaced as a whole, their passwords never in clear on disk (G31)."""

from __future__ import annotations

from dataclasses import replace

from sqlite_stores import SQLiteStores

from asyncmail.model import Account, OnUncertain, RateLimits, Tls
from asyncmail.store.base import Lane, Store
from asyncmail.store.keys import KeyRing

FULL = Account(
    id="shop:1@x",
    host="smtp.example.org",
    port=465,
    user="user",
    password="canary-password",
    tenant_id="t",
    ttl=10.5,
    limits=RateLimits(1, None, 3, error_over=True),
    batch_size=7,
    tls=Tls.IMPLICIT,
    verify=False,
    max_connections=4,
    transport="maildir",
    on_uncertain=OnUncertain.HOLD,
    timeouts={"dot": 5.0},
)
LANE = Lane("t", "shop:1@x")


async def test_an_account_is_kept_whole(store: Store) -> None:
    await store.put_account(FULL, keep_password=False)
    kept = await store.account(LANE)
    assert kept is not None
    assert replace(kept, revision=0) == FULL
    assert await store.account(Lane("default", "shop:1@x")) is None


async def test_accounts_are_listed_by_id_and_tenant(store: Store) -> None:
    for tenant, name in (("t", "b"), ("t", "a"), ("default", "c")):
        await store.put_account(Account(name, "h", tenant_id=tenant), keep_password=False)
    assert [a.id for a in await store.accounts()] == ["c", "a", "b"]
    assert [a.id for a in await store.accounts("t")] == ["a", "b"]


async def test_a_change_replaces_all_but_a_password_that_is_to_be_kept(store: Store) -> None:
    await store.put_account(FULL, keep_password=False)
    bare = Account("shop:1@x", "other.example.org", tenant_id="t")
    await store.put_account(bare, keep_password=True)
    kept = await store.account(LANE)
    assert kept is not None
    assert (kept.host, kept.user, kept.password) == ("other.example.org", None, FULL.password)
    await store.put_account(bare, keep_password=False)
    cleared = await store.account(LANE)
    assert cleared is not None
    assert cleared.password is None


async def test_the_revision_rises_even_when_an_account_is_made_again(store: Store) -> None:
    await store.put_account(FULL, keep_password=False)
    first = await store.account(LANE)
    assert await store.delete_account(LANE)
    assert not await store.delete_account(LANE)
    await store.put_account(FULL, keep_password=False)
    second = await store.account(LANE)
    assert first is not None
    assert second is not None
    assert second.revision > first.revision


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
