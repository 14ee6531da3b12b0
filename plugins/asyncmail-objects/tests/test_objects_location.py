"""References are read as they are written, and none of them leads elsewhere."""

from __future__ import annotations

import pytest
from asyncmail_objects.location import Location, location_of


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("s3://bucket/a/b c.pdf", Location(False, "bucket", "a/b c.pdf")),
        ("s3://bucket/50%25 off?x#y", Location(False, "bucket", "50%25 off?x#y")),
        ("objects://files/ü/...", Location(True, "files", "ü/...")),
    ],
)
def test_a_plain_path_is_kept_as_it_is(path: str, location: Location) -> None:
    assert location_of(path) == location


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "s3:/bucket/x", "S3://bucket/x", "https://bucket/x"),
        *("s3://", "s3://bucket", "s3://bucket/", "s3:///x", "s3://bucket//x", "s3://bucket/x/"),
        *("s3://bucket/..", "s3://bucket/a/../b", "s3://bucket/./a", "s3://bucket/%2e%2e/a"),
        *("s3://bucket/a%2f..%2fb", "s3://bucket/a\\b", "s3://bucket/a%5cb", "s3://bucket/a\0"),
        *("s3://bucket/a\n", "s3://bucket/\ud800", "s3://bucket/" + "ü" * 513),
    ],
)
def test_what_might_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not"):
        location_of(path)
