"""Many messages with many fates over few connections: what is said of each is true, and only of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from helpers import Attempt, account

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Disposition, Envelope
from asyncmail.testing.faultsmtp import FaultSMTP

MakeTransport = Callable[..., Awaitable[SmtpTransport]]

BEFORE = [
    *(
        "mail.451",
        "mail.550",
        "mail.421.drop",
        "mail.drop",
        "rcpt.451",
        "rcpt.550",
        "rcpt.421.drop",
    ),
    *(
        "rcpt.drop",
        "rcpt.452",
        "data.451",
        "data.554",
        "data.421.drop",
        "data.drop",
        "data.354+250",
    ),
    *("dot.451", "dot.554", "rcpt.550+550", "mail.raw6f6b0d0a"),
]
AT_THE_DOT = [
    *("dot.accept.drop", "dot.drop", "dot.accept.rst", "dot.accept.354", "dot.accept.raw6f6b0d0a"),
    *("dot.accept.421.drop", "dot.accept.250+550", "dot.accept.250+250", "dot.accept.250.drop"),
]
FINE = ["dot.sleep20", "rcpt.sleep20", "data.sleep5"]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.mark.fault("smtp.many_faults_at_once")
@pytest.mark.parametrize("seed", range(3))
async def test_what_is_said_of_a_message_is_what_the_server_knows(
    make_transport: MakeTransport, seed: int
) -> None:
    transport = await make_transport()
    fates = random.Random(seed)
    async with FaultSMTP(
        seed=seed, profile=None, extensions=None if seed % 3 else ("8BITMIME", "SIZE")
    ) as server:
        to = account(server.port, max_connections=3)
        gate = asyncio.Semaphore(30)

        async def one(n: int) -> tuple[str, str, Disposition]:
            kind = fates.choices([[""], FINE, BEFORE, AT_THE_DOT], [60, 10, 20, 10])[0]
            script = fates.choice(kind)
            recipient = f"m{n}+{script}@fault.test" if script else f"m{n}@fault.test"
            data = f"Message-ID: <{n}@x>\r\nSubject: x\r\n\r\n.{n}\r\n".encode()
            async with gate:
                delivery = await transport.send(
                    Envelope(str(n), "a@example.org", (recipient,), data, fates.choice([0, 2, 2])),
                    to,
                    Attempt(),
                )
            (outcome,) = delivery.outcomes
            return recipient, script, outcome.disposition

        told = await asyncio.wait_for(asyncio.gather(*(one(n) for n in range(200))), 60)
        copies = {recipient: 0 for recipient, _, _ in told}
        for copy in server.accepted:
            for recipient in copy.recipients:
                copies[recipient] += 1
        for recipient, script, disposition in told:
            if disposition is Disposition.ACCEPTED:
                assert copies[recipient] == 1, recipient
            elif disposition is Disposition.UNCERTAIN:
                assert copies[recipient] <= 1, recipient
                assert script in AT_THE_DOT, f"{recipient} suffered from another's fate"
            elif script != "dot.accept.421.drop":  # a server that lies
                assert copies[recipient] == 0, recipient
            if not script or script in FINE:
                assert disposition is Disposition.ACCEPTED, recipient
        server.assert_clean()
        assert transport.connections()["busy"] == 0
