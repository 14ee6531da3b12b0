"""The filter ``dkim``: chooses the keys of a message and signs in threads of its own."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from asyncmail import AsyncmailError, Context, Filter
from asyncmail.model import Account, Message
from asyncmail_dkim import canonical
from asyncmail_dkim.choice import Choice, from_domain
from asyncmail_dkim.keys import GOOD_RSA_BITS, SigningKey, load_key
from asyncmail_dkim.settings import DkimSettings, Unsigned
from asyncmail_dkim.signature import sign

MAX_THREADS = 4


class DkimFilter(Filter):
    """Puts a DKIM-Signature on top for each key that the message's From and account have.

    Signatures that are there already stay as they are, and are not covered.
    """

    def __init__(self, settings: DkimSettings, context: Context) -> None:
        self._settings = settings
        self._log = context.logger
        self._choose: Choice[SigningKey] | None = None
        self._pool: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Read all keys, so that a bad one stops the start instead of each message."""
        keys = await asyncio.to_thread(lambda: [load_key(one) for one in self._settings.keys])
        for key in keys:
            size = f", {key.bits} bits" if key.bits else ""
            self._log.info("signs with %s (%s%s)", key.settings, key.algorithm, size)
            if key.bits and key.bits < GOOD_RSA_BITS:
                self._log.warning(
                    "the key %s has %d bits; %d are recommended (RFC 8301)",
                    key.settings,
                    key.bits,
                    GOOD_RSA_BITS,
                )
        self._choose = Choice(keys, lambda key: key.settings)
        threads = min(MAX_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="asyncmail-dkim")

    async def stop(self) -> None:
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
            self._pool = None

    async def apply(self, data: bytes, message: Message, account: Account) -> bytes:
        if self._pool is None or self._choose is None:
            raise AsyncmailError("the filter 'dkim' is not running")
        domain = from_domain(data[: canonical.header_end(data)])
        keys = self._choose(domain, account.id)
        if not keys:
            if self._settings.unsigned is Unsigned.PASS:
                return data
            raise AsyncmailError(
                f"no DKIM key for From in {domain or 'no domain'!s}, account {account.id!a}",
                hint="add one to [plugins.dkim] keys",
            )
        loop = asyncio.get_running_loop()
        accepted = max(0, int(message.created_ts))
        return await loop.run_in_executor(
            self._pool, sign, data, keys, accepted, self._settings.leave_out
        )
