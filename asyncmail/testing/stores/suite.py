"""The suite itself: all promises of a store together, and the fixtures that they ask for."""

from __future__ import annotations

import pytest

from asyncmail.store.base import Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.accept import AcceptPromises
from asyncmail.testing.stores.accounts import AccountPromises
from asyncmail.testing.stores.claims import ClaimPromises
from asyncmail.testing.stores.limits import LimitPromises
from asyncmail.testing.stores.listing import ListingPromises
from asyncmail.testing.stores.reports import ReportPromises
from asyncmail.testing.stores.results import ResultPromises
from asyncmail.testing.stores.retention import RetentionPromises
from asyncmail.testing.stores.steps import Steps
from asyncmail.testing.stores.stores import Stores
from asyncmail.testing.suites.calls import broken
from asyncmail.testing.suites.rules import Rules


class StoreSuite(
    AcceptPromises,
    ClaimPromises,
    ResultPromises,
    ReportPromises,
    RetentionPromises,
    LimitPromises,
    AccountPromises,
    ListingPromises,
    Rules,
):
    """Subclass it as ``class TestMine(StoreSuite)`` and override the fixture ``stores``; ``cannot`` and
    ``overrides_suite`` are as for plugins."""

    @pytest.fixture
    async def stores(self, clock: ManualClock) -> Stores:
        broken("override the fixture `stores` with a Stores of your engine, on an empty database")

    @pytest.fixture
    async def store(self, stores: Stores) -> Store:
        return await stores.open()

    @pytest.fixture
    def steps(self, store: Store, clock: ManualClock) -> Steps:
        return Steps(store, clock)
