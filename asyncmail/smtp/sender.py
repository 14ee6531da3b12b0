"""Sends envelopes over the pools of all accounts: what the ``smtp`` transport does, without settings."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from asyncmail.clock import Clock
from asyncmail.errors import AttemptRevoked
from asyncmail.model import Account, Delivery, Disposition, Envelope
from asyncmail.outcome import classify
from asyncmail.plugins.interfaces import Attempt
from asyncmail.smtp import wire
from asyncmail.smtp.connect import ConnectFailed, Connector
from asyncmail.smtp.pool import AccountPool, Lease
from asyncmail.smtp.session import Session
from asyncmail.smtp.transaction import Transaction

CLOSE_SECONDS = 2.0


class Sender:
    """Keeps a pool of connections per account and sends one envelope per transaction.

    ``max_connections``: of an account that names no number. ``chaining``: the next envelope may be
    written behind the dot of the one before.
    """

    def __init__(
        self,
        connect: Connector,
        clock: Clock,
        logger: logging.Logger,
        *,
        max_connections: int,
        chaining: bool,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._logger = logger
        self._max_connections = max_connections
        self._chaining = chaining
        self._pools: dict[tuple[str, str], AccountPool] = {}

    async def start(self) -> None:
        await self._connect.start()

    async def close(self) -> None:
        """Say goodbye on idle connections and end the others, within a few seconds."""
        await asyncio.gather(*(pool.close(CLOSE_SECONDS) for pool in self._pools.values()))
        self._pools.clear()

    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        """One transaction; a second try at once where a kept connection turned out to be stale."""
        refusal = wire.refusal(envelope)
        if refusal is not None:
            return Delivery.of_all(
                envelope.recipients, Disposition.PERMANENT, refusal, transaction_begun=False
            )
        pool = self._pool(account)
        body = wire.dotted(envelope.data)
        begun = False
        try:
            with await pool.acquire(envelope.priority, attempt.progress) as lease:
                delivery, stale = await self._transact(lease, envelope, body, attempt)
                if stale:
                    begun = delivery.transaction_begun
                    await lease.reconnect(attempt.progress)
                    delivery, _ = await self._transact(lease, envelope, body, attempt)
        except ConnectFailed as failure:
            delivery = _account_problem(envelope, failure)
        except AttemptRevoked as revoked:
            delivery = _put_off(envelope, revoked)
        return replace(delivery, transaction_begun=True) if begun else delivery

    def connections(self) -> dict[str, int]:
        """How many are ``busy`` and ``idle``, of all accounts."""
        pools = self._pools.values()
        return {"busy": sum(p.busy for p in pools), "idle": sum(p.idle for p in pools)}

    async def _transact(
        self, lease: Lease, envelope: Envelope, body: bytes, attempt: Attempt
    ) -> tuple[Delivery, bool]:
        """The outcome, and whether it says only that a kept connection had become stale."""
        session = lease.session
        transaction = Transaction(session, envelope, body, attempt, lease.hand_on)
        delivery = await transaction.run()
        if _chaining_failed(session, delivery):
            self._stop_chaining(lease.pool, session)
        return delivery, transaction.stale

    def _stop_chaining(self, pool: AccountPool, session: Session) -> None:
        if pool.chaining:
            pool.chaining = False
            self._logger.warning(
                "account %r: the server did not stand an envelope behind a dot (%s);"
                " messages now wait for each other's replies",
                pool.account.id,
                session.broken.text if session.broken else "",
            )

    def _pool(self, account: Account) -> AccountPool:
        key = (account.tenant_id, account.id)
        pool = self._pools.get(key)
        if pool is None:
            for old in [k for k, p in self._pools.items() if p.unused]:
                del self._pools[old]
            pool = AccountPool(account, self._connect, self._clock, self._max_connections)
            pool.chaining = self._chaining
            self._pools[key] = pool
        pool.renew(account)
        return pool


def _chaining_failed(session: Session, delivery: Delivery) -> bool:
    """Whether a message may have suffered from the envelope behind it, or that one from the dot."""
    broken = session.broken
    if broken is None or broken.timeout or not session.chained:
        return False
    uncertain = (o.disposition is Disposition.UNCERTAIN for o in delivery.outcomes)
    return broken.desync or any(uncertain)


def _account_problem(envelope: Envelope, failure: ConnectFailed) -> Delivery:
    reply = failure.reply
    verdict = classify(failure.phase, reply.code if reply else None)
    return Delivery.of_all(
        envelope.recipients,
        verdict.disposition,
        str(failure),
        account_problem=verdict.account_problem,
        charged=verdict.charged,
        transaction_begun=False,
        retry_after=reply.wish if reply else None,
    )


def _put_off(envelope: Envelope, revoked: AttemptRevoked) -> Delivery:
    return Delivery.of_all(
        envelope.recipients,
        Disposition.TEMPORARY,
        str(revoked),
        charged=False,
        transaction_begun=False,
    )
