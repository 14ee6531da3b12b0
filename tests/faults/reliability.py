"""``python tests/faults/reliability.py RESULTS``: writes docs/reliability.md from what a run handed in.

RESULTS is the folder that ``ASYNCMAIL_FAULT_RESULTS`` named during ``tox -e faults``. What the page is
made of is kept beside it as JSON, so that a test can make it again.
"""

from __future__ import annotations

import json
import platform
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
DATA = ROOT / "docs" / "reliability.json"
BEGIN, END = (
    "<!-- figures: written by tests/faults/reliability.py -->",
    "<!-- end of the figures -->",
)


def collected(folder: Path) -> list[dict[str, Any]]:
    """One row per test: the cases of a parametrised one are added up."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        entry = json.loads(path.read_text())
        row = rows.setdefault(entry["command"], {**entry, "survived": 0, "figures": {}})
        row["survived"] += 1
        row["cases"] = max(row["cases"], entry["cases"])  # a part of them may have been repeated
        if entry["commit"] not in row["commit"]:
            row["commit"] += f" and {entry['commit']}"
        for name, value in entry["figures"].items():
            row["figures"][name] = _together(row["figures"].get(name), value)
    return sorted(rows.values(), key=lambda row: (row["what"], row["command"]))


def _together(before: Any, value: Any) -> Any:
    if isinstance(before, int) and isinstance(value, int):
        return before + value
    return value


def machine() -> dict[str, str]:
    """What ran."""
    return {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "kernel": platform.release(),
    }


def rendered(data: Mapping[str, Any]) -> str:
    """The part of the page between the markers."""
    ran = ", ".join(f"{name} {value}" for name, value in data["machine"].items())
    return "\n".join([BEGIN, "", f"Measured with {ran}.", "", *_tables(data["rows"]), END])


def _tables(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for row in rows:
        yield f"### {row['what']}"
        yield ""
        yield f"Survived {row['survived']} of {row['cases']}, at {row['commit']}. `{row['command']}`"
        yield ""
        if row["figures"]:
            yield "| | |"
            yield "| --- | --- |"
            yield from (f"| {name} | {value} |" for name, value in row["figures"].items())
            yield ""


def replaced(page: str, figures: str) -> str:
    """The page with other figures."""
    head, _, rest = page.partition(BEGIN)
    return head + figures + rest.partition(END)[2]


def main(folder: Path) -> None:
    data = {"machine": machine(), "rows": collected(folder)}
    DATA.write_text(json.dumps(data, indent=1) + "\n")
    PAGE.write_text(replaced(PAGE.read_text(), rendered(data)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
