"""What plugins may import is promised: a name may be added to the list, none may leave it."""

from __future__ import annotations

from pathlib import Path

import asyncmail
import asyncmail.testing

LISTED = (Path(__file__).parent / "public_names.txt").read_text().split()


def test_the_public_names_are_exactly_those_that_are_listed() -> None:
    there = {f"asyncmail.{name}" for name in asyncmail.__all__}
    there |= {f"asyncmail.testing.{name}" for name in asyncmail.testing.__all__}
    assert there == set(LISTED)


def test_every_public_name_can_be_imported() -> None:
    modules = {"asyncmail": asyncmail, "asyncmail.testing": asyncmail.testing}
    for listed in LISTED:
        module, _, name = listed.rpartition(".")
        assert getattr(modules[module], name) is not None
