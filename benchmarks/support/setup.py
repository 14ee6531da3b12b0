"""How every benchmark begins: its options, and a folder of its own on a real disk."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def options(text: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON too")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("/var/tmp"),
        help="where databases and queues live while it runs; not a tmpfs (default: %(default)s)",
    )
    return parser


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A folder that Postfix's own user may enter, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="asyncmail-bench-", dir=parent) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
