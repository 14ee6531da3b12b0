"""The server: a port, its connections, and the books that the test reads."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from asyncmail.testing.faultsmtp.books import Books
from asyncmail.testing.faultsmtp.profile import Profile
from asyncmail.testing.faultsmtp.session import Session


class FaultSMTP(Books):
    """An SMTP server on loopback that does as its recipients' addresses say (grammar: the package).

    ``ledger``: a file that gets a JSON line per accepted copy. ``seed``: for ``%`` in scripts.
    ``extensions``, ``tls``, ``auth``: short for the fields of ``Profile``. ``strict``: record violations.
    ``port``: 0 picks a free one, ``server.port`` tells which.

    To read: ``accepted`` (list of ``Copy``), ``copies`` (a counter by Message-ID and recipient),
    ``unanswered``, ``violations``, ``connections``, ``concurrent``, ``concurrent_max``, ``dots_pending``;
    ``await server.wait_for(lambda: len(server.accepted) == 3)`` waits for them.
    """

    def __init__(
        self,
        *,
        ledger: Path | str | None = None,
        seed: int = 0,
        profile: Profile | None = None,
        extensions: Sequence[str] | None = None,
        tls: ssl.SSLContext | None = None,
        auth: tuple[str, str] | None = None,
        strict: bool = True,
        port: int = 0,
    ) -> None:
        profile = profile or Profile()
        if extensions is not None:
            profile = replace(profile, extensions=tuple(extensions))
        if tls is not None:
            profile = replace(profile, tls=tls)
        if auth is not None:
            profile = replace(profile, auth=auth)
        super().__init__(profile, ledger=ledger, seed=seed, strict=strict)
        self.host = "127.0.0.1"
        self.port = port
        self._sessions: set[Session] = set()
        self._server: asyncio.Server | None = None

    def assert_clean(self) -> None:
        """Raise ``AssertionError`` naming every violation, if there is one."""
        if self.violations:
            raise AssertionError("\n".join(str(violation) for violation in self.violations))

    async def start(self) -> None:
        """Listen; after this ``port`` is the real one."""
        listener = socket.create_server((self.host, self.port), backlog=1024)
        if self.profile.receive_buffer is not None:  # connections inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.profile.receive_buffer)
        context = self.profile.tls if self.profile.implicit_tls else None
        self.port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Session(self, self._sessions), sock=listener, ssl=context, backlog=1024
        )

    async def stop(self) -> None:
        """Stop listening, cut every connection, close the ledger."""
        if self._server is None:
            return
        self._server.close()
        tasks = [session.task for session in self._sessions if session.task is not None]
        for session in list(self._sessions):
            session.abort()
        await self.wait_for(lambda: not self._sessions)
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self._server.wait_closed()
        self._server = None
        self.ledger.close()

    async def __aenter__(self) -> FaultSMTP:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
