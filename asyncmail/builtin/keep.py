"""The retention policy ``days``: finished messages are kept for a fixed time."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from asyncmail import Context, Offer, PluginSettings, Retention, hookimpl

WEEK = 7 * 86400.0


class KeepSettings(PluginSettings):
    """``seconds``: how long a message is kept after its result was reported."""

    seconds: float = Field(default=WEEK, ge=0, allow_inf_nan=False)


class Keep(Retention):
    """The same time for every account."""

    def __init__(self, settings: KeepSettings) -> None:
        self._seconds = settings.seconds

    def cutoff(self, now: float, account_id: str) -> float:
        return now - self._seconds


def _make(settings: KeepSettings, context: Context) -> Keep:
    return Keep(settings)


@hookimpl
def asyncmail_retention() -> Iterable[Offer[Retention]]:
    return [Offer("days", _make, KeepSettings)]
