"""Mail servers that nobody here wrote, for tests of any folder: Postfix's smtp-sink, and aiosmtpd."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP as Aiosmtpd  # noqa: N811 - a class named in capitals
from programs import require_program

from asyncmail.testing.real_service import until


@asynccontextmanager
async def smtp_sink(*flags: str, folder: Path | None = None) -> AsyncIterator[int]:
    """Postfix's ``smtp-sink``, which misbehaves as its flags say; its port.

    With a ``folder`` it writes each transaction to a file of its own there.
    """
    # Debian keeps Postfix's programs where the path of a user does not lead.
    program = shutil.which("smtp-sink", path="/usr/sbin") or require_program("smtp-sink", "postfix")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    dumps = ("-d", "%M.") if folder else ()
    process = await asyncio.create_subprocess_exec(
        program, *user, *dumps, *flags, f"127.0.0.1:{port}", "100", cwd=folder
    )
    try:
        await until(partial(_answers, port))
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


class Box:
    """aiosmtpd's handler: keeps what comes, but for recipients that begin with ``nobody``."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, list[str], bytes]] = []

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, letter: Any, address: str, options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 nobody here"
        letter.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, letter: Any) -> str:  # noqa: N802
        self.letters.append((letter.mail_from, letter.rcpt_tos, letter.content))
        return "250 2.0.0 thank you"


@asynccontextmanager
async def aiosmtpd(box: Box) -> AsyncIterator[int]:
    """aiosmtpd in this very loop; its port."""
    protocols: list[Any] = []

    def make() -> Aiosmtpd:
        protocols.append(Aiosmtpd(box, enable_SMTPUTF8=True, hostname="aiosmtpd.test"))
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for protocol in protocols:
        if protocol.transport is not None:
            protocol.transport.abort()
    await asyncio.sleep(0)
    await server.wait_closed()  # since Python 3.12 it waits for the connections, too
