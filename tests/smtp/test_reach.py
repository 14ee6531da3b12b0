"""The way to a host: names that are wrong, slow or move, and addresses that are dead."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from helpers import Attempt, ScriptedServer, account, envelope

from asyncmail.model import Delivery, Disposition, Timeouts
from asyncmail.smtp.connect import Connector
from asyncmail.smtp.reach import connected
from asyncmail.smtp.sender import Sender
from asyncmail.testing.clock import ManualClock

Answer = tuple[Any, ...]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


def at(*ports: int) -> list[Answer]:
    """What ``getaddrinfo`` says of a host with these ports of this machine as its addresses."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]


@asynccontextmanager
async def sending(lookup: Callable[[str], list[Answer]], **timeouts: float):
    """A function that sends one message to a host."""
    connect = Connector(
        Timeouts(**timeouts),
        local_hostname="client.test",
        ca_file=None,
        lookup=lambda host, port, **_: lookup(host),
    )
    sender = Sender(
        connect, ManualClock(), logging.getLogger("smtp"), max_connections=10, chaining=True
    )
    await sender.start()

    async def send(host: str) -> Delivery:
        to = account(25, id=host, host=host)
        return await asyncio.wait_for(sender.send(envelope(), to, Attempt()), 10)

    yield send
    await sender.close()


def accepted(delivery: Delivery) -> bool:
    return delivery.outcomes[0].disposition is Disposition.ACCEPTED


def problem(delivery: Delivery) -> str:
    """The text of an account problem, which costs the message nothing."""
    assert delivery.account_problem
    assert not delivery.charged
    assert delivery.outcomes[0].disposition is Disposition.TEMPORARY
    return delivery.outcomes[0].text


@pytest.mark.fault("smtp.dns_failure")
@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_a_name_without_an_address_is_the_accounts_problem(code: int) -> None:
    def lookup(host: str) -> list[Answer]:
        raise socket.gaierror(code, "as scripted")

    async with sending(lookup) as send:
        text = problem(await send("mail.example"))
        assert text.startswith("account 'mail.example' cannot find the address of mail.example")


async def test_a_name_with_no_address_at_all_is_the_accounts_problem() -> None:
    async with sending(lambda host: []) as send:
        assert "the host has no address" in problem(await send("mail.example"))


@pytest.mark.fault("smtp.dns_slow")
async def test_a_name_server_that_does_not_answer_holds_up_its_own_accounts_only() -> None:
    answers = threading.Event()
    asked: list[str] = []

    async with ScriptedServer() as smtp:

        def lookup(host: str) -> list[Answer]:
            asked.append(host)
            if host.startswith("slow"):
                answers.wait(20)
            return at(smtp.port)

        async with sending(lookup, connect=0.5) as send:
            slow = [f"slow{n}.example" for n in range(40)] + ["slow0.example"] * 15
            stuck = [asyncio.ensure_future(send(host)) for host in slow]
            await asyncio.sleep(0)
            began = time.monotonic()
            assert accepted(await send("good.example"))
            assert time.monotonic() - began < 0.5, "it waited for lookups of others"
            assert asked.count("slow0.example") == 1, "one thread for a host, whoever asks"
            for sending_slow in stuck:
                assert "no answer in time" in problem(await sending_slow)
            answers.set()
            assert accepted(await send("slow0.example"))


@pytest.mark.fault("smtp.host_moves")
async def test_each_new_connection_goes_to_where_the_host_is_now() -> None:
    async with ScriptedServer() as before, ScriptedServer() as after:
        places = [before.port]
        async with sending(lambda host: at(*places)) as send:
            assert accepted(await send("mail.example"))
            places[:] = [after.port]
            before.connections[0].writer.close()
            await before.connections[0].ended.wait()
            assert accepted(await send("mail.example"))
        assert len(before.messages) == len(after.messages) == 1


@contextmanager
def silent() -> Iterator[int]:
    """A port that answers no attempt to connect: its queue is full, so the kernel drops them."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port: int = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port
        for filler in fillers:
            filler.close()


@pytest.mark.fault("smtp.dead_address")
async def test_a_host_with_a_dead_address_is_reached_by_another() -> None:
    with silent() as dead, socket.create_server(("127.0.0.1", 0)) as gone:
        refusing = gone.getsockname()[1]
        gone.close()
        async with ScriptedServer() as smtp:
            async with sending(lambda host: at(dead, refusing, smtp.port), connect=5) as send:
                assert accepted(await send("mail.example"))
            async with sending(lambda host: at(dead), connect=0.3) as send:
                assert "no answer in time" in problem(await send("mail.example"))
            async with sending(lambda host: at(refusing)) as send:
                assert "cannot reach mail.example:25" in problem(await send("mail.example"))


async def test_of_two_addresses_that_answer_one_connection_is_kept() -> None:
    async with ScriptedServer() as one, ScriptedServer() as other:
        places = [(family, address) for family, *_, address in at(one.port, other.port)]
        peer = await connected(places)
        assert peer.getpeername()[1] == one.port
        peer.close()
        assert other.connections == []
