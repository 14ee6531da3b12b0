"""The transport keeps the promises that every transport has to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from asyncmail.model import Account
from asyncmail.testing import Behaviour, Peer, Received, TransportSuite

NOBODY = "a folder neither refuses for good nor hangs, and loses no reply"


class Folders(Peer):
    """The Maildirs below a root; for an address that defers there is a file in the way."""

    account = Account("staging", transport="maildir")

    def __init__(self, root: Path) -> None:
        self.root = root

    def address(self, name: str, behaviour: Behaviour) -> str:
        recipient = f"{name}@customer.example"
        if behaviour is Behaviour.DEFERS:
            self.root.mkdir(exist_ok=True)
            self.root.joinpath(recipient).write_text("a file where a folder should be")
        return recipient

    async def received(self) -> Sequence[Received]:
        return [
            Received((path.parent.parent.name,), path.read_bytes())
            for path in self.root.glob("*/new/*")
        ]


class TestMaildir(TransportSuite):
    offer = "maildir"
    cannot = dict.fromkeys(
        (
            "test_one_of_three_recipients_is_refused",
            "test_a_drop_before_the_dot_is_temporary",
            "test_a_drop_after_the_dot_is_uncertain",
            "test_a_silent_peer_is_waited_for_and_a_cancelled_call_ends",
            "test_a_peer_silent_after_the_dot_is_waited_for_and_a_cancelled_call_ends",
        ),
        NOBODY,
    )

    @pytest.fixture
    def peer(self, tmp_path: Path) -> Folders:
        return Folders(tmp_path / "mail")

    @pytest.fixture
    def settings(self, peer: Folders) -> Mapping[str, Any]:
        return {"root": str(peer.root)}
