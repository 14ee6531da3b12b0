"""The small language in which an address tells the server how to misbehave (grammar: ``__init__``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

VERBS = frozenset(
    {"greeting", "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot"}
    | {"rset", "noop", "quit"}
)

RAW: Mapping[str, bytes] = {
    "barelf": b"250 2.0.0 ok\n",
    "bare": b"250\r\n",
    "nodigits": b"all is well\r\n",
    "code99": b"99 what is this\r\n",
    "binary": bytes(range(256)) + b"\r\n",
    "control": b"550 5.7.1 \x1b[31mno\x07\x00 entry\r\n",
    "latin1": b"550 5.7.1 l'adresse est refus\xe9e\r\n",
    "unicode": "550 5.7.1 дверь закрыта ‮\r\n".encode(),
    "longline": b"250 " + b"x" * 9_000 + b"\r\n",
    "nonewline": b"250 " + b"x" * 1_000_000,
    "manylines": b"250-more\r\n" * 20_000,
}
"""Replies that no decent server sends, for ``raw-NAME``."""


class ScriptError(ValueError):
    """An address carries a script that does not follow the grammar."""


class Kind(Enum):
    """What a step does."""

    REPLY = auto()
    DROP = auto()
    RST = auto()
    HANG = auto()
    STALL = auto()
    SLEEP = auto()
    DRIP = auto()
    RAW = auto()
    ACCEPT = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; which field counts depends on the kind."""

    kind: Kind
    codes: tuple[int, ...] = ()
    seconds: float = 0.0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Clause:
    """What to do instead of the usual answer to a verb.

    ``percent``: in how many of 100 cases. ``times``: how often at most for one address, or ``None``.
    """

    verb: str
    steps: tuple[Step, ...]
    percent: int = 100
    times: int | None = None


_PLAIN = {
    "drop": Kind.DROP,
    "rst": Kind.RST,
    "hang": Kind.HANG,
    "stall": Kind.STALL,
    "accept": Kind.ACCEPT,
}
_TOKEN = re.compile(r"(?P<word>[^%~]*)(?P<marks>(?:%\d{1,3}|~\d+)*)")
_REPLY = re.compile(r"[2-5]\d\d(?:\+[2-5]\d\d)*")
_TIMED = re.compile(r"(?P<kind>sleep|drip)(?P<ms>\d+)")


def clauses_of_address(address: str, raw: Mapping[str, bytes] = RAW) -> dict[str, Clause]:
    """Return the clauses of an address by verb; ``bob+news@...`` has none. Raises ``ScriptError``."""
    _, plus, script = address.rpartition("@")[0].partition("+")
    if not plus or script.partition(".")[0].lower() not in VERBS:
        return {}
    return parse_clauses(script, raw)


def parse_clauses(script: str, raw: Mapping[str, bytes] = RAW) -> dict[str, Clause]:
    """Return the clauses of ``dot.550.rset.hang`` by verb; ``raw``: bytes for ``raw-NAME``.

    Raises ``ScriptError``.
    """
    drafts: dict[str, _Draft] = {}
    draft: _Draft | None = None
    for token in script.lower().split(".") if script else ():
        if token in VERBS:
            if token in drafts:
                raise ScriptError(f"{script!r}: {token!r} occurs twice")
            draft = drafts[token] = _Draft()
        elif draft is None:
            raise ScriptError(f"{script!r}: {token!r} is not a verb")
        else:
            draft.add(token, raw)
    return {verb: draft.clause(verb) for verb, draft in drafts.items()}


class _Draft:
    """A clause while its tokens come in."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._percent = 100
        self._times: int | None = None

    def add(self, token: str, raw: Mapping[str, bytes]) -> None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise ScriptError(f"{token!r}: expected a step, then %percent or ~times")
        for mark in re.findall(r"[%~]\d+", match["marks"]):
            if mark[0] == "%":
                self._percent = int(mark[1:])
            else:
                self._times = int(mark[1:])
        if match["word"] == "once":
            self._times = 1
        else:
            self._steps.append(_step(match["word"], raw))

    def clause(self, verb: str) -> Clause:
        if not self._steps:
            raise ScriptError(f"{verb!r} has no step")
        if verb != "dot" and any(step.kind is Kind.ACCEPT for step in self._steps):
            raise ScriptError(f"{verb!r}: only the dot can accept a message")
        return Clause(verb, tuple(self._steps), self._percent, self._times)


def _step(word: str, raw: Mapping[str, bytes]) -> Step:
    if word in _PLAIN:
        return Step(_PLAIN[word])
    if _REPLY.fullmatch(word):
        return Step(Kind.REPLY, codes=tuple(map(int, word.split("+"))))
    if timed := _TIMED.fullmatch(word):
        return Step(Kind[timed["kind"].upper()], seconds=int(timed["ms"]) / 1000)
    if word.startswith("raw"):
        return Step(Kind.RAW, data=_raw_bytes(word.removeprefix("raw"), raw))
    raise ScriptError(f"{word!r} is not a step")


def _raw_bytes(text: str, raw: Mapping[str, bytes]) -> bytes:
    try:
        return raw[text[1:]] if text.startswith("-") else bytes.fromhex(text)
    except (KeyError, ValueError):
        raise ScriptError(f"'raw{text}': neither hexadecimal nor a known name") from None
