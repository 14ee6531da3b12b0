"""The real brokers: where they run or how they start, and a relay that loses what it is told to."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import pytest

HOST = "127.0.0.1"
STARTING_SECONDS = 30.0
PROGRAMS = {"redis": "redis-server", "nats": "nats-server", "mqtt": "mosquitto"}
PORTS = {"redis": 6379, "nats": 4222, "rabbitmq": 5672, "mqtt": 1883}
MARK = b'"result_seq":'  # in the body of each result, and nowhere else


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def broker(name: str, folder: Path) -> Iterator[int]:
    """The port of a running broker: the local service, or one that is started for the tests."""
    if answers(PORTS[name]):
        yield PORTS[name]
        return
    with own_broker(name, _arguments(name, folder)) as port:
        yield port


@contextmanager
def own_broker(name: str, arguments: Sequence[str]) -> Iterator[int]:
    """A broker of the tests' own; ``PORT`` in the arguments stands for its port. Where the program is
    missing, the test is skipped with its name; with CI in the environment, it fails."""
    program = PROGRAMS.get(name)
    found = program and (shutil.which(program) or shutil.which(program, path="/usr/sbin"))
    if not found:
        missing = f"there is no {name} on {HOST}:{PORTS[name]}"
        missing += f", and {program} is not installed" if program else ""
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    port = free_port()
    with started([found, *(part.replace("PORT", str(port)) for part in arguments)], port):
        yield port


@contextmanager
def started(command: Sequence[str], port: int) -> Iterator[None]:
    """A program that listens on the port inside the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + STARTING_SECONDS
        while not answers(port):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} does not listen on {port}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _arguments(name: str, folder: Path) -> list[str]:
    if name == "redis":
        return ["--port", "PORT", "--bind", HOST, "--save", "", "--dir", str(folder)]
    if name == "nats":
        return ["-a", HOST, "-p", "PORT", "-js", "-sd", str(folder)]
    return ["-p", "PORT"]  # mosquitto, which then listens on this machine only


class Fate(StrEnum):
    """What becomes of a result on its way to the broker, and of the connection."""

    ARRIVES = "arrives"
    CUT_BEFORE = "cut before"  # the connection ends, the broker has nothing
    CUT_AFTER = "cut after"  # the broker has it, the confirmation is lost
    SILENCE = "silence"  # neither goes on


class Relay:
    """Between a sink and a broker. ``fate`` is that of the next result, and of those behind it."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.fate = Fate.ARRIVES
        self.connections = 0
        self.struck = asyncio.Event()  # a result had another fate than to arrive
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls, target: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
        """With ``tls`` it speaks TLS with the sink, and none with the broker."""
        relay = cls(target)
        server = await asyncio.start_server(relay._serve, HOST, 0, ssl=tls)
        relay.port = server.sockets[0].getsockname()[1]
        try:
            yield relay
        finally:
            server.close()
            relay.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        broker_reader, broker_writer = await asyncio.open_connection(HOST, self.target)
        both = {writer, broker_writer}
        self._writers |= both
        back = asyncio.create_task(self._pass_on(broker_reader, writer))
        with suppress(OSError):
            await self._pass_results_on(reader, broker_writer, writer)
        back.cancel()
        for each in both:
            each.close()
            with suppress(OSError):
                await each.wait_closed()
        self._writers -= both

    async def _pass_results_on(
        self,
        reader: asyncio.StreamReader,
        to_broker: asyncio.StreamWriter,
        to_sink: asyncio.StreamWriter,
    ) -> None:
        silent = False
        while data := await reader.read(1 << 16):
            fate = self.fate if MARK in data else Fate.ARRIVES
            silent = silent or fate is Fate.SILENCE
            if fate is not Fate.ARRIVES:
                self.struck.set()
            if silent:
                continue
            if fate is Fate.CUT_BEFORE:
                return
            if fate is Fate.CUT_AFTER:
                to_sink.transport.abort()  # before the broker can answer
            to_broker.write(data)
            await to_broker.drain()
            if fate is Fate.CUT_AFTER:
                return

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()
