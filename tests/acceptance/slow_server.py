"""A mail server that is in no hurry."""

from __future__ import annotations

from asyncmail.testing import FaultSMTP, Profile


def slow_server(seconds: float) -> FaultSMTP:
    """It takes each message at once and answers its dot that much later."""
    return FaultSMTP(profile=Profile(script=f"dot.accept.sleep{round(seconds * 1000)}"))
