"""``StoreSuite``: what every engine promises, one file per part of the store's contract.

::

    class TestMyEngine(StoreSuite):
        @pytest.fixture
        async def stores(self, tmp_path, clock):
            stores = MyStores(tmp_path, clock)
            yield stores
            await stores.close()
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in (
            "accept",
            "accounts",
            "claims",
            "limits",
            "listing",
            "reports",
            "results",
            "retention",
        )
    )
)

from asyncmail.testing.stores.stores import Stores  # noqa: E402 - behind the rewriting
from asyncmail.testing.stores.suite import StoreSuite  # noqa: E402

__all__ = ["StoreSuite", "Stores"]
