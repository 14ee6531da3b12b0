"""What a server is like before any address says otherwise: extensions, TLS, logins, limits."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_EXTENSIONS = (
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "SIZE 36700160",
    "ENHANCEDSTATUSCODES",
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How a server greets and what it offers.

    ``extensions``: the EHLO lines, without STARTTLS and AUTH, which follow from the fields below.
    ``tls``: a server context; STARTTLS is offered, or with ``implicit_tls`` spoken from the first byte.
    ``auth``: user and password; mail is then taken only after a login. With ``tls``, AUTH is offered
    only once it is on. ``clear_auth``: a login without TLS is no violation.
    ``script``: clauses for every connection, such as ``"greeting.421.drop"`` or ``"dot.accept.sleep50"``.
    ``raw``: bytes for steps ``raw-NAME``, beside those that script.py knows.
    ``max_messages``: per connection, then 421. ``max_recipients``: per transaction, then 452.
    ``max_connections``: at a time, then 421. ``idle_timeout``: seconds, then 421.
    ``receive_buffer``: SO_RCVBUF in bytes, for ``stall``.
    """

    hostname: str = "fault.test"
    extensions: tuple[str, ...] = DEFAULT_EXTENSIONS
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    auth: tuple[str, str] | None = field(default=None, repr=False)
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    clear_auth: bool = False
    script: str = ""
    raw: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    max_messages: int | None = None
    max_recipients: int | None = None
    max_connections: int | None = None
    idle_timeout: float | None = None
    receive_buffer: int | None = None

    def offers(self, keyword: str) -> bool:
        """Whether an extension is in the EHLO list."""
        return any(line.split()[0].upper() == keyword for line in self.extensions if line)

    @property
    def size_limit(self) -> int | None:
        """Bytes, from ``SIZE n`` (RFC 1870); 0 and no number mean no limit."""
        for line in self.extensions:
            keyword, _, number = line.partition(" ")
            if keyword.upper() == "SIZE" and number.isdigit():
                return int(number) or None
        return None

    def ehlo_lines(self, *, secure: bool) -> tuple[str, ...]:
        """The lines of the EHLO reply; ``secure``: TLS is on."""
        lines = [self.hostname, *self.extensions]
        if self.tls and not secure:
            lines.append("STARTTLS")
        if self.auth and (secure or not self.tls):
            lines.append("AUTH " + " ".join(self.mechanisms))
        return tuple(lines)
