"""For plugin authors and users: real servers that misbehave on demand, a clock moved by hand, and the
suites that tell whether a plugin keeps its promises.

Servers and clock need no more than asyncmail itself; the suites, which are imported when first asked
for, need the extra ``asyncmail[testing]``. Fixtures: ``pytest_plugins = ["asyncmail.testing.fixtures"]``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from asyncmail.testing.lone import LoneContext, NotingAttempt, make_extension
    from asyncmail.testing.running import RunningService, StartService, mail
    from asyncmail.testing.stores import Stores, StoreSuite
    from asyncmail.testing.suites import (
        AttachmentSourceSuite,
        Behaviour,
        FilterSuite,
        HttpReceiver,
        Manner,
        ObserverSuite,
        Peer,
        Received,
        Receiver,
        RetentionSuite,
        SinkSuite,
        SmtpPeer,
        TransportSuite,
        ValidatorSuite,
        overrides_suite,
    )

_HOMES = {  # of what is not in the suites
    **dict.fromkeys(("LoneContext", "NotingAttempt", "make_extension"), "lone"),
    **dict.fromkeys(("StoreSuite", "Stores"), "stores"),
    **dict.fromkeys(("RunningService", "StartService", "mail"), "running"),
}

__all__ = [
    "AttachmentSourceSuite",
    "Behaviour",
    "Copy",
    "Failing",
    "FaultSMTP",
    "FilterSuite",
    "HttpReceiver",
    "LoneContext",
    "Manner",
    "ManualClock",
    "NotingAttempt",
    "ObserverSuite",
    "Peer",
    "Post",
    "Profile",
    "Received",
    "Receiver",
    "Reply",
    "ReportReceiver",
    "RetentionSuite",
    "RunningService",
    "SinkSuite",
    "SmtpPeer",
    "StartService",
    "StoreSuite",
    "Stores",
    "TransportSuite",
    "ValidatorSuite",
    "Violation",
    "mail",
    "make_extension",
    "overrides_suite",
    "read_ledger",
    "read_unanswered",
]

if not TYPE_CHECKING:  # a checker that saw it would take any name for granted

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = _HOMES.get(name, "suites")
        return getattr(import_module(f"{__name__}.{home}"), name)
