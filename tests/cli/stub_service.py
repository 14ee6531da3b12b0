"""What the stand-in for the service is told to answer, and what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from click.testing import Result

TOKEN = "t0ken"


@dataclass
class Request:
    """What the server was asked."""

    method: str
    path: str
    token: str | None
    accept: str | None
    body: Any


@dataclass
class Answers:
    """What the server answers next, in order, and what it was asked."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    replies: list[tuple[int, str, bytes]] = field(default_factory=list)

    def reply(self, body: Any, status: int = 200, content_type: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies.append((status, content_type, data))


Run = Callable[..., Result]
