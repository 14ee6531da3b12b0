"""Text that looks like other text: scripts mixed within a word, invisible and direction characters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Characters that a reader cannot see, or that turn round what he sees (Unicode TR 36). The joiners
# U+200C and U+200D are not among them: Persian, Indian scripts and emoji need them.
INVISIBLE = frozenset("\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff")
DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Scripts that are written together (Unicode TR 39, "highly restrictive").
_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)

# Cyrillic and Greek letters that look like a Latin one; a word of these alone deceives without mixing.
_LATIN_LOOKS = frozenset("авсԁеһіјӏоԛрѕԝхуүѵАВЕЅІЈКМНОРСТХУαγινορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")


@lru_cache(maxsize=4096)
def deception(text: str) -> str | None:
    """What about a text may deceive its reader, in words; ``None`` for nothing."""
    if text.isascii():
        return None
    if not INVISIBLE.isdisjoint(text):
        return "contains invisible characters"
    if not DIRECTION.isdisjoint(text):
        return "contains characters that change the direction of writing"
    for word in "".join(c if c.isalnum() else " " for c in text).split():
        scripts = {_script(c) for c in word if c.isalpha()}
        if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
            named = " and ".join(sorted(script.capitalize() for script in scripts))
            return f"mixes {named} letters in one word"
        if len(word) > 1 and _LATIN_LOOKS.issuperset(c for c in word if c.isalpha()):
            return "is written in letters that look like Latin ones"
    return None


def _script(letter: str) -> str:
    """The first word of a letter's name is its script; the styled forms of Latin are Latin."""
    decomposed = unicodedata.normalize("NFKC", letter)[0]
    return unicodedata.name(decomposed, "UNKNOWN").split()[0].split("-")[0]
