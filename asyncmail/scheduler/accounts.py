"""The accounts as they are now, kept in memory for the hot paths and read again at each change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from asyncmail.model import Account, OnUncertain
from asyncmail.store.base import Lane, Store


class AccountDirectory:
    """A view of the store's accounts in which ``on_uncertain`` is always decided.

    ``on_secret`` is told every password, so that it can be kept out of logs and reports.
    """

    def __init__(
        self,
        store: Store,
        *,
        on_uncertain: OnUncertain,
        on_secret: Callable[[str | None], None],
    ) -> None:
        self._store = store
        self._on_uncertain = on_uncertain
        self._on_secret = on_secret
        self._accounts: dict[Lane, Account] = {}

    async def load(self) -> None:
        """Read them all, at start."""
        self._accounts = {
            Lane(account.tenant_id, account.id): self._decided(account)
            for account in await self._store.accounts()
        }

    async def refresh(self, lane: Lane) -> Account | None:
        """Read one again after it was changed or deleted."""
        account = await self._store.account(lane)
        if account is None:
            self._accounts.pop(lane, None)
            return None
        self._accounts[lane] = self._decided(account)
        return self._accounts[lane]

    def get(self, lane: Lane) -> Account | None:
        return self._accounts.get(lane)

    def lanes(self) -> Iterable[Lane]:
        return tuple(self._accounts)

    def _decided(self, account: Account) -> Account:
        self._on_secret(account.password)
        return replace(account, on_uncertain=account.on_uncertain or self._on_uncertain)
