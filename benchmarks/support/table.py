"""Tables for people, JSON for scripts, medians and ranges for both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any


def render(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text; the first column to the left, figures to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        return "  ".join([first.ljust(widths[0]), *right]).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median and range, as ``1,234 (1,100 to 1,300)``."""
    low, middle, high = min(values), median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def write_json(file: Path | None, result: dict[str, Any]) -> None:
    """Keep a result for scripts, if a file was asked for."""
    if file is not None:
        file.write_text(json.dumps(result, indent=2) + "\n")
