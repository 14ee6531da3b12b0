"""The rules of every suite: a promise is not dropped in silence, and what is skipped has a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import pytest

from asyncmail.testing.clock import ManualClock

TestT = TypeVar("TestT", bound=Callable[..., Any])

_REASON = "__asyncmail_overrides_because__"
REACHES_PEER = "__asyncmail_reaches_peer__"
PLAYS_PEER = "__asyncmail_plays_peer__"


def overrides_suite(reason: str) -> Callable[[TestT], TestT]:
    """Marks a test that replaces one of its suite, with the reason why it has to."""
    if not isinstance(reason, str) or not reason.strip():
        raise TypeError('overrides_suite("...") needs the reason in words')

    def mark(test: TestT) -> TestT:
        setattr(test, _REASON, reason)
        return test

    return mark


def reaches_peer(test: TestT) -> TestT:
    """Marks a test of a suite in which something really goes out to the peer."""
    setattr(test, REACHES_PEER, True)
    return test


def plays_peer(test: TestT) -> TestT:
    """Marks a test of a suite whose peer has to misbehave on demand, or to tell what it got."""
    setattr(test, PLAYS_PEER, True)
    return test


class Rules:
    """``cannot``: tests that the other side cannot play, and the reason; they are skipped with it."""

    cannot: ClassVar[Mapping[str, str]] = {}
    pytestmark = pytest.mark.anyio

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if cls.__module__.startswith("asyncmail.testing."):
            return
        for name, test in vars(cls).items():
            inherited = name.startswith("test_") and hasattr(super(cls, cls), name)
            if inherited and not getattr(test, _REASON, ""):
                raise TypeError(
                    f"{cls.__name__}.{name} replaces a promise of its suite: rename it; or, if the peer"
                    f' cannot play it, say cannot = {{"{name}": "the reason"}}; or, if it must differ,'
                    ' mark it with @overrides_suite("the reason")'
                )
        for name, reason in cls.cannot.items():
            if not hasattr(cls, name) or not name.startswith("test_"):
                raise TypeError(
                    f"{cls.__name__}.cannot names '{name}', which its suite does not have"
                )
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__}.cannot['{name}'] needs the reason in words")

    @pytest.fixture(autouse=True)
    def _skipped_with_a_reason(self, request: pytest.FixtureRequest) -> None:
        reason = self.cannot.get(request.node.originalname)
        if reason is not None:
            pytest.skip(reason)

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time that is told to what is tried."""
        return ManualClock()
