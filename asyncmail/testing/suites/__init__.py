"""Suites for plugin authors: one per kind, each a class to subclass, whose tests are the kind's promises.

::

    from asyncmail.testing.suites import TransportSuite

    class TestPigeon(TransportSuite):
        offer = "pigeon"

        @pytest.fixture
        def settings(self, tmp_path):
            return {"loft": str(tmp_path)}

The tests cannot be overridden in silence: see ``Suite.cannot`` and ``overrides_suite``.
"""

from asyncmail.testing.suites.attachments import AttachmentSourceSuite
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.filter import FilterSuite
from asyncmail.testing.suites.observer import ObserverSuite
from asyncmail.testing.suites.peer import Behaviour, Peer, Received, SmtpPeer
from asyncmail.testing.suites.retention import RetentionSuite
from asyncmail.testing.suites.rules import overrides_suite
from asyncmail.testing.suites.sink import HttpReceiver, Manner, Receiver, SinkSuite
from asyncmail.testing.suites.transport import TransportSuite
from asyncmail.testing.suites.validator import ValidatorSuite

__all__ = [
    "AttachmentSourceSuite",
    "Behaviour",
    "FilterSuite",
    "HttpReceiver",
    "Manner",
    "ObserverSuite",
    "Peer",
    "Received",
    "Receiver",
    "RetentionSuite",
    "SinkSuite",
    "SmtpPeer",
    "Suite",
    "TransportSuite",
    "ValidatorSuite",
    "overrides_suite",
]
