"""What the API stands on: the parts of the service it talks to, and its settings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from asyncmail.intake import Intake
from asyncmail.plugins.manager import PluginManager
from asyncmail.prometheus import MailMetrics
from asyncmail.store.base import Lane, Store


class AccountState(Protocol):
    """How an account does: ``ok``, ``limited`` or ``broken``, and why it is broken."""

    @property
    def state(self) -> str: ...

    @property
    def last_error(self) -> str | None: ...


class Commands(Protocol):
    """The scheduler, as far as the API commands it."""

    draining: bool

    @property
    def active(self) -> bool: ...

    def run_now(self) -> None: ...

    async def suspend(self) -> None: ...

    async def activate(self) -> None: ...

    def account_state(self, lane: Lane) -> AccountState: ...

    async def account_changed(self, lane: Lane) -> None: ...

    async def cleanup(self, older_than: float | None = None) -> int: ...


class ServerSettings(Protocol):
    """``[server]``, as far as the API is concerned. ``tokens``: none lets everybody in."""

    @property
    def tokens(self) -> Sequence[str]: ...

    @property
    def docs(self) -> Literal["on", "token", "off"]: ...

    @property
    def max_body_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """The collaborators of ``create_api``. ``transports``: the names that an account may use."""

    server: ServerSettings
    store: Store
    intake: Intake
    scheduler: Commands
    metrics: MailMetrics
    plugins: PluginManager
    transports: Collection[str]
