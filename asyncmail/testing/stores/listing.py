"""What every store promises about listings."""

from __future__ import annotations

import pytest

from asyncmail.store.base import Filter, Status, Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import PLENTY, Steps, ids, payload


class ListingPromises:
    """Listings: filtered, in pages bounded by count and by bytes."""

    async def test_a_record_shows_the_message_and_its_life(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        text = payload(subject="hello")
        await steps.add("m1", priority=1, payload=text)
        created = int(clock.wall())
        clock.advance(5)
        [claim] = await steps.claim()
        await store.record([steps.sent(claim)])
        record = await steps.one("m1")
        assert (record.tenant_id, record.account_id, record.priority) == ("default", "shop", 1)
        assert (record.created_at, record.updated_at) == (created, created + 5)
        assert record.payload == text

    @pytest.mark.parametrize("status", list(Status))
    async def test_messages_are_found_by_status(
        self, steps: Steps, clock: ManualClock, status: Status
    ) -> None:
        await steps.fail("error")
        await steps.send("sent")
        await steps.add("sending")
        await steps.claim()
        await steps.add("queued")
        await steps.add("deferred", deferred_ts=clock.wall() + 60)
        assert ids(await steps.listed(statuses=frozenset({status}))) == [status.value]

    async def test_messages_are_found_by_tenant_and_account(self, steps: Steps) -> None:
        await steps.add("m1")
        await steps.add("m2", account_id="other")
        await steps.add("m3", tenant_id="other")
        assert ids(await steps.listed()) == ["m1", "m2"]
        assert ids(await steps.listed(account_id="other")) == ["m2"]
        assert ids(await steps.listed(tenant_id="other")) == ["m3"]

    async def test_pages_follow_each_other_by_key(self, steps: Steps, store: Store) -> None:
        await steps.add("m1", "m2", "m3")
        which = Filter("default")
        page = await store.messages(which, limit=2, max_bytes=PLENTY)
        assert ids(page) == ["m1", "m2"]
        rest = await store.messages(which, limit=2, after_key=page[-1].key, max_bytes=PLENTY)
        assert ids(rest) == ["m3"]

    async def test_a_page_ends_at_its_bytes_but_has_at_least_one_message(
        self, steps: Steps, store: Store
    ) -> None:
        text = payload(body="x" * 1000)
        await steps.add("m1", "m2", "m3", payload=text)
        which = Filter("default")
        assert ids(await store.messages(which, limit=9, max_bytes=1)) == ["m1"]
        assert ids(await store.messages(which, limit=9, max_bytes=2 * len(text))) == ["m1", "m2"]
