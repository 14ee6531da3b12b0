"""What a receiver is sent, and what it may say to that."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Post:
    """A request as it came. ``headers``: names in lower case. ``time``: seconds since the epoch.

    ``reports``: the entries of ``delivery_report``, as far as the body has one.
    """

    time: float
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    reports: tuple[dict[str, Any], ...]

    def json(self) -> Any:
        """The body, parsed; ``None`` if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, decent or not.

    ``body``: bytes and text go as they are, an iterable of bytes in chunks (endless if it is), anything
    else as JSON; without one, the usual counts. ``headers`` are added to it. ``delay``: seconds before
    the first byte. ``drip``: seconds between bytes. ``cut``: the connection closes after so many bytes
    of the answer; 0: without a word. ``reset``: a cut is an RST instead of a FIN. ``raw``: sent instead
    of an HTTP answer.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    cut: int | None = None
    reset: bool = False
    raw: bytes | None = None

    @property
    def acknowledges(self) -> bool:
        """Whether a client that gets it may take the reports as delivered."""
        if self.cut is not None or self.raw is not None or not 200 <= self.status < 300:
            return False
        if isinstance(self.body, Mapping):
            return not isinstance(self.body.get("error"), str)
        return self.body is None or self.body == "::NN"

    def content(self, post: Post) -> tuple[dict[str, str], Iterable[bytes]]:
        """Headers and body; without Content-Length the body goes in chunks."""
        body, kind = self.body, "application/json"
        if body is None:
            body = usual_counts(post.reports)
        if isinstance(body, Iterable) and not isinstance(body, bytes | str | Mapping | list):
            return {"Content-Type": kind, **self.headers}, body
        if isinstance(body, str):
            body, kind = body.encode(), "text/html; charset=utf-8"
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return {"Content-Type": kind, "Content-Length": str(len(body)), **self.headers}, (body,)


Answering: TypeAlias = Reply | Callable[[Post], Awaitable[Reply | None] | Reply | None]
"""A fixed reply, or a function of the post; ``None`` from it is the usual answer."""


def usual_counts(reports: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many reports tell of a message sent, failed and neither, as the application counts them."""
    counts = {"sent": 0, "error": 0, "deferred": 0}
    for report in reports:
        kind = (
            "sent" if report.get("sent_ts") else "error" if report.get("error_ts") else "deferred"
        )
        counts[kind] += 1
    return counts


class Failing:
    """Answers 503 to a share of the posts, drawn from a seed, and as usual to the others."""

    def __init__(self, percent: float, seed: int = 0) -> None:
        self._percent = percent
        self._random = random.Random(seed)  # noqa: S311 - not a secret

    def __call__(self, post: Post) -> Reply | None:
        return Reply(status=503) if self._random.random() * 100 < self._percent else None
