"""The sink of every broker: acknowledges what the broker confirmed, and starts afresh after a failure."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from asyncmail import Ack, Context, Sink, SinkUnavailable
from asyncmail.errors import ConfigurationError
from asyncmail.model import Report
from asyncmail_streams.link import Link
from asyncmail_streams.notes import Note, note_of
from asyncmail_streams.settings import BrokerSettings

CLOSING_SECONDS = 0.5  # a broker that is silent does not hold up a stop


class BrokerSink(Sink):
    """Connects at the first call, and at the next one after a failure: a broker that is down keeps the
    service neither from starting nor from sending."""

    max_batch = 500

    def __init__(self, broker: str, link: Link, settings: BrokerSettings, context: Context) -> None:
        self._broker = broker
        self._link = link
        self._settings = settings
        self._log = context.logger
        self._tls: ssl.SSLContext | None = None
        self._open = False
        self._failures: tuple[type[Exception], ...] = (OSError, *link.failures)  # and TimeoutError
        self.timeout = settings.timeout_seconds + 5.0

    async def start(self) -> None:
        if not self._settings.tls:
            return
        ca_file = self._settings.ca_file
        try:
            self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
        except OSError as error:
            raise ConfigurationError(
                f"[plugins.{self._broker}] ca_file {ca_file}: {error.strerror or error}"
            ) from error

    async def stop(self) -> None:
        await self._drop()

    async def deliver(self, reports: Sequence[Report]) -> Ack:
        confirmed: set[str] = set()
        why = await self._publish([note_of(report) for report in reports], confirmed)
        missed = frozenset(report.id for report in reports) - confirmed
        if not missed:
            return Ack()
        words = f"{self._broker} did not confirm {len(missed)} of {len(reports)} results: {why}"
        if not confirmed:
            raise SinkUnavailable(words)
        self._log.warning("%s", words)
        return Ack(accepted=frozenset(confirmed), retry=missed)

    async def _publish(self, notes: Sequence[Note], confirmed: set[str]) -> str:
        """Why some are not in ``confirmed`` afterwards."""
        seconds = self._settings.timeout_seconds
        whole = False
        try:
            async with asyncio.timeout(seconds):
                if not self._open:
                    await self._link.open(self._tls)
                    self._open = True
                why = await self._link.publish(notes, confirmed)
            whole = True
            return why
        except TimeoutError:
            return f"no confirmation within {seconds:g} s"
        except self._failures as error:
            return f"{type(error).__name__}: {error}".rstrip(": ")
        finally:
            if not whole:
                await self._drop()

    async def _drop(self) -> None:
        self._open = False
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._link.close()
        except self._failures as error:
            self._log.debug("closing the connection to %s: %r", self._broker, error)
