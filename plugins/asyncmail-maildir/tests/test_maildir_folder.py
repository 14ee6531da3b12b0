"""Folder names are safe, and different for different recipients."""

from __future__ import annotations

import pytest
from asyncmail_maildir.folder import folder_name


@pytest.mark.parametrize(
    ("recipient", "name"),
    [
        ("bob@x.test", "bob@x.test"),
        ("a+b_c=d-e@x.test", "a+b_c=d-e@x.test"),
        ("..", "%2E."),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("é", "%C3%A9"),
        ("a\0b", "a%00b"),
        ("", "%"),
    ],
)
def test_a_name_has_only_safe_characters(recipient: str, name: str) -> None:
    assert folder_name(recipient) == name


def test_long_names_are_short_and_still_differ() -> None:
    one, two = folder_name("é" * 300 + "@x.test"), folder_name("é" * 300 + "@y.test")
    assert one != two
    assert max(len(one), len(two)) <= 200
