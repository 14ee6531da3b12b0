"""The built-in transport ``smtp``: hands messages to the smarthost that their account names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from asyncmail import Attempt, Context, Offer, PluginSettings, Transport, hookimpl
from asyncmail.model import Account, Delivery, Envelope, Timeouts
from asyncmail.smtp.connect import Connector
from asyncmail.smtp.sender import Sender


class TimeoutSettings(PluginSettings):
    """Seconds that one step may take (RFC 5321 4.5.3.2); an account may override each."""

    connect: float = Field(30.0, gt=0)
    command: float = Field(300.0, gt=0)
    data: float = Field(120.0, gt=0)
    block: float = Field(180.0, gt=0)
    dot: float = Field(600.0, gt=0)


class SmtpSettings(PluginSettings):
    """``[plugins.smtp]``.

    ``max_connections``: of an account that names no number. ``local_hostname``: said in EHLO; the
    host's own name by default. ``ca_file``: PEM file of authorities trusted beside the system's.
    ``chaining``: write the next message's envelope behind the dot of the one before, without waiting
    for the reply (RFC 2920 3.1), where the server offers PIPELINING; given up for an account whose
    server turns out not to stand it.
    """

    max_connections: int = Field(10, ge=1)
    timeouts: TimeoutSettings = TimeoutSettings()
    local_hostname: str | None = Field(None, pattern=r"^[!-~]{1,255}$")
    ca_file: Path | None = None
    chaining: bool = True


class SmtpTransport(Transport):
    """One transaction per envelope, over pooled connections; each failure has its outcome."""

    def __init__(self, settings: SmtpSettings, context: Context) -> None:
        connect = Connector(
            Timeouts(**settings.timeouts.model_dump()),
            local_hostname=settings.local_hostname,
            ca_file=settings.ca_file,
        )
        self._sender = Sender(
            connect,
            context.clock,
            context.logger,
            max_connections=settings.max_connections,
            chaining=settings.chaining,
        )

    async def start(self) -> None:
        await self._sender.start()

    async def stop(self) -> None:
        await self._sender.close()

    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        return await self._sender.send(envelope, account, attempt)

    def connections(self) -> dict[str, int]:
        """How many are ``busy`` and ``idle``."""
        return self._sender.connections()


@hookimpl
def asyncmail_transports() -> Iterable[Offer[Transport]]:
    return (Offer("smtp", SmtpTransport, settings=SmtpSettings),)
