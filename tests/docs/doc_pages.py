"""The documentation as tests read it: pages, sections, tables, and fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md")])

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^>]+) -->\n)?^```(?P<language>\{?\w*\}?)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``mark``: the HTML comment on the line before it, if there is one."""

    page: str
    number: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.number}"


def page(name: str) -> str:
    """The text of a page of ``docs/``."""
    return (DOCS / f"{name}.md").read_text("utf-8")


def blocks(*languages: str) -> list[Block]:
    """All blocks of these languages, of all pages."""
    return [
        Block(path.name, number, match["language"], match["mark"] or "", match["text"])
        for path in PAGES
        for number, match in enumerate(_FENCE.finditer(path.read_text("utf-8")), 1)
        if match["language"] in languages
    ]


def sections(text: str, level: int) -> dict[str, str]:
    """The sections of a level by their heading without backticks, deeper ones included."""
    text = _FENCE.sub("", text)
    found: dict[str, str] = {}
    starts = [(m.start(), len(m[1]), m[2], m.end()) for m in _HEADING.finditer(text)]
    for place, (_, depth, title, end) in enumerate(starts):
        if depth == level:
            following = (start for start, deep, _, _ in starts[place + 1 :] if deep <= level)
            found[title.replace("`", "")] = text[end : next(following, len(text))]
    return found


def rows(text: str) -> Iterator[list[str]]:
    """The rows of all tables in a text, heads included, cell by cell."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def names(text: str) -> set[str]:
    """What stands in backticks in the first cells of all tables."""
    return {name for row in rows(text) for name in _CODE.findall(row[0])}
