"""From a host's name to a connected socket, so that nobody's dead name server holds up another's mail."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, zip_longest
from typing import Any

STAGGER = 0.25  # seconds an address gets before the next one is tried beside it (RFC 8305 5)
MAX_LOOKUPS = 256  # hosts at a time; each has a thread

Place = tuple[int, tuple[Any, ...]]  # family, and what a socket of it connects to
Lookup = Callable[..., Iterable[tuple[Any, ...]]]  # like socket.getaddrinfo


class Resolver:
    """Looks hosts up, each in a thread of its own and only once however many ask at a time.

    A name server that does not answer holds a thread for as long as the system's resolver waits for
    it. In a pool that is shared with others, a few accounts with such hosts would hold all of it; and
    nobody waits for these threads at the end of the process.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._under_way: dict[tuple[str, int], asyncio.Future[list[Place]]] = {}

    async def addresses(self, host: str, port: int) -> list[Place]:
        """In the order to try them in, the families by turns; raises ``OSError`` or ``ValueError``."""
        if _is_numeric(host):
            return _addresses(socket.getaddrinfo, host, port)
        found = self._under_way.get((host, port))
        if found is None:
            found = self._begin(host, port)
        return await asyncio.shield(found)

    def _begin(self, host: str, port: int) -> asyncio.Future[list[Place]]:
        if len(self._under_way) >= MAX_LOOKUPS:
            raise OSError(f"{MAX_LOOKUPS} other hosts are being looked up and do not answer")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Place]] = loop.create_future()
        self._under_way[host, port] = found
        found.add_done_callback(partial(self._ended, (host, port)))

        def look() -> None:
            try:
                answer: list[Place] | Exception = _addresses(self._lookup, host, port)
            except Exception as error:
                answer = error
            with suppress(RuntimeError):  # the loop has been closed, so nobody asks any more
                loop.call_soon_threadsafe(_resolve, found, answer)

        threading.Thread(target=look, name=f"look up {host}", daemon=True).start()
        return found

    def _ended(self, key: tuple[str, int], found: asyncio.Future[list[Place]]) -> None:
        del self._under_way[key]
        found.exception()  # those who asked may all have gone


async def connected(addresses: Sequence[Place]) -> socket.socket:
    """A socket to the first that answers; a dead one delays the next by no more than ``STAGGER``.

    Raises the last ``OSError``.
    """
    waiting = deque(addresses)
    trying: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError("the host has no address")
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_connect(*waiting.popleft())))
            patience = STAGGER if waiting else None
            done, trying = await asyncio.wait(
                trying, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            won = [task for task in done if task.exception() is None]
            trying.update(won[1:])
            if won:
                return won[0].result()
            for task in done:
                failure = task.exception() or failure
        raise failure
    finally:
        for task in trying:
            if not task.cancel() and task.exception() is None:
                task.result().close()


async def _connect(family: int, address: tuple[Any, ...]) -> socket.socket:
    peer = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(peer, address)
    except BaseException:
        peer.close()
        raise
    return peer


def _is_numeric(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return False
    return True


def _addresses(lookup: Lookup, host: str, port: int) -> list[Place]:
    by_family: dict[int, list[Place]] = {}
    for family, _, _, _, address in lookup(host, port, type=socket.SOCK_STREAM):
        by_family.setdefault(family, []).append((family, address))
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    return [found for found in turns if found is not None]


def _resolve(found: asyncio.Future[list[Place]], answer: list[Place] | Exception) -> None:
    if isinstance(answer, Exception):
        found.set_exception(answer)
    else:
        found.set_result(answer)
