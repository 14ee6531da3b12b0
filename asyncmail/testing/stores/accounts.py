"""What every store promises about accounts."""

from __future__ import annotations

from dataclasses import replace

from asyncmail.model import Account, OnUncertain, RateLimits, Tls
from asyncmail.store.base import Lane, Store

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


class AccountPromises:
    """Accounts: complete, replaced as a whole, their passwords never in clear on disk (G31)."""

    async def test_an_account_is_kept_whole(self, store: Store) -> None:
        await store.put_account(FULL, keep_password=False)
        kept = await store.account(LANE)
        assert kept is not None
        assert replace(kept, revision=0) == FULL
        assert await store.account(Lane("default", "shop:1@x")) is None

    async def test_accounts_are_listed_by_id_and_tenant(self, store: Store) -> None:
        for tenant, name in (("t", "b"), ("t", "a"), ("default", "c")):
            await store.put_account(Account(name, "h", tenant_id=tenant), keep_password=False)
        assert [a.id for a in await store.accounts()] == ["c", "a", "b"]
        assert [a.id for a in await store.accounts("t")] == ["a", "b"]

    async def test_a_change_replaces_all_but_a_password_that_is_to_be_kept(
        self, store: Store
    ) -> None:
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

    async def test_the_revision_rises_even_when_an_account_is_made_again(
        self, store: Store
    ) -> None:
        await store.put_account(FULL, keep_password=False)
        first = await store.account(LANE)
        assert await store.delete_account(LANE)
        assert not await store.delete_account(LANE)
        await store.put_account(FULL, keep_password=False)
        second = await store.account(LANE)
        assert first is not None
        assert second is not None
        assert second.revision > first.revision
