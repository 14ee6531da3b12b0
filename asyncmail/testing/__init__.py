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
from asyncmail.testing.receiver import Failing, Post, Reply, ReportReceiver

__all__ = [
    "Copy",
    "Failing",
    "FaultSMTP",
    "ManualClock",
    "Post",
    "Profile",
    "Reply",
    "ReportReceiver",
    "Violation",
    "read_ledger",
    "read_unanswered",
]
