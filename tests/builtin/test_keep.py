"""The retention policy ``days``."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from asyncmail.builtin.keep import Keep, KeepSettings

NOW = 1_750_000_000.0


def test_messages_are_kept_for_a_week_unless_told_otherwise() -> None:
    assert Keep(KeepSettings()).cutoff(NOW, "any") == NOW - 604800
    assert Keep(KeepSettings(seconds=60)).cutoff(NOW, "any") == NOW - 60
    assert Keep(KeepSettings(seconds=0)).cutoff(NOW, "any") == NOW


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "soon"])
def test_a_time_that_is_none_is_refused(seconds: object) -> None:
    with pytest.raises(ValidationError):
        KeepSettings.model_validate({"seconds": seconds})
