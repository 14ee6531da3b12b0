"""Who may call: a token in a header, compared in constant time; two while one is being replaced."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from fastapi import Request
from starlette.exceptions import HTTPException

HEADER = "X-API-Token"

# As the OpenAPI document says it. FastAPI's own classes would do it too, at 80 us a request.
SCHEMES = {
    "ApiToken": {"type": "apiKey", "in": "header", "name": HEADER},
    "Bearer": {"type": "http", "scheme": "bearer"},
}
BY_HEADER = ("ApiToken",)
BY_HEADER_OR_BEARER = ("ApiToken", "Bearer")


class TokenCheck:
    """The valid tokens, kept as SHA-256 digests only. Without any, every caller is let in."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = tuple(_digest(token.encode()) for token in tokens if token)

    def admits(self, offered: Sequence[bytes]) -> bool:
        """Whether exactly one token was offered, and it is a valid one."""
        if not self._digests:
            return True
        if len(offered) != 1:
            return False
        digest = _digest(offered[0])
        matches = [hmac.compare_digest(digest, valid) for valid in self._digests]
        return any(matches)  # only now, so that the time does not tell which one it was

    async def by_header(self, request: Request) -> None:
        """Dependency: ``X-API-Token``."""
        self._check(request, _values(request, b"x-api-token"))

    async def by_header_or_bearer(self, request: Request) -> None:
        """Dependency: ``X-API-Token`` or ``Authorization: Bearer``, for scrapers that only know that."""
        offered = _values(request, b"x-api-token")
        if not offered:
            values = _values(request, b"authorization")
            offered = [v[7:].strip() for v in values if v[:7].lower() == b"bearer "]
        self._check(request, offered)

    def _check(self, request: Request, offered: Sequence[bytes]) -> None:
        if not self.admits(offered):
            challenge = {"WWW-Authenticate": 'Bearer realm="asyncmail"'}
            raise HTTPException(401, f"a valid {HEADER} header is needed", headers=challenge)
        if not self._digests and request.headers.get("sec-fetch-site", "none") in (
            "cross-site",
            "same-site",
        ):
            # an open service on loopback must not be driven by a web page that its user visits
            raise HTTPException(403, "requests from other web sites need an API token")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _values(request: Request, name: bytes) -> list[bytes]:
    return [value for key, value in request.scope["headers"] if key == name]
