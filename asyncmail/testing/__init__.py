"""For plugin authors and users: real servers that misbehave on demand, and a clock moved by hand."""

from asyncmail.testing.clock import ManualClock
from asyncmail.testing.faultsmtp import (
    Copy,
    FaultSMTP,
    Profile,
    Violation,
    read_ledger,
    read_unanswered,
)

__all__ = [
    "Copy",
    "FaultSMTP",
    "ManualClock",
    "Profile",
    "Violation",
    "read_ledger",
    "read_unanswered",
]
