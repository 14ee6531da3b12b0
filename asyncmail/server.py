"""The HTTP server around a service, and the life of the process: signals, grace, exit codes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import uvicorn

from asyncmail import __version__
from asyncmail.app import Service, running
from asyncmail.config import Settings
from asyncmail.connections import connections
from asyncmail.errors import ConfigurationError
from asyncmail.logs import configure
from asyncmail.plugins.secrets import SecretRegistry

try:
    import resource
except ImportError:  # not every platform has it
    resource = None  # type: ignore[assignment]

T = TypeVar("T")

log: Final = logging.getLogger("asyncmail")

CLOSE_SECONDS = 1.0  # for open HTTP requests once everything is recorded
SWITCH_SECONDS = 0.0002
GC_THRESHOLDS = (100_000, 20, 50)
EXIT_SECOND_SIGNAL = 130
MAX_CONNECTIONS = 1000  # HTTP, and at most half of the descriptors: the others send and report
DESCRIPTORS = 8192  # as many as the unit file asks for


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(service: Service, port: int | None = None) -> AsyncIterator[str]:
    """Serve the REST API inside the block, on ``[server] port`` or another; gives its base URL."""
    server_settings = service.settings.server
    listener = _bind(server_settings.host, server_settings.port if port is None else port)
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        service.api,
        http=connections(_connections_at_most()),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=int(CLOSE_SECONDS),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.005)
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        await task


def _connections_at_most() -> int:
    if resource is None:
        return MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="another program may have the port; set [server] port or --port",
        ) from error
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def serve(settings: Settings, *, init: bool = False) -> int:
    """Run the service until SIGTERM or SIGINT; returns the exit code."""
    return run(_serve(settings, init=init))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a program's coroutine on the fastest event loop that the platform has."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not every platform has it
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, *, init: bool) -> int:
    stopping = stop_on_signals()
    raise_descriptor_limit()
    secrets = SecretRegistry()
    configure(settings.logging, secrets)
    async with running(settings, init=init, secrets=secrets) as service:
        tune_interpreter()
        async with listening(service) as url:
            log.info("asyncmail %s listens on %s", __version__, url)
            await stopping.wait()
            log.info(
                "stopping; mail past its dot gets up to %g s",
                settings.server.shutdown_grace_seconds,
            )
            await service.stop()
    log.info("stopped")
    if service.guard.abandoned:
        # Extensions that ignore their cancellation would keep the event loop from closing.
        logging.shutdown()
        os._exit(0)
    return 0


def tune_interpreter() -> None:
    """Fit the interpreter to a service with one busy thread and some that wait for SQLite.

    A thread that has its rows waits up to the switch interval for the busy one, several times a commit;
    and what was made at start will never be garbage, so it is not looked through again and again.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def raise_descriptor_limit() -> None:
    """Allow what the hard limit allows: the usual soft one is for programs that call ``select``."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def stop_on_signals() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT; a second one ends the process like a crash."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(EXIT_SECOND_SIGNAL)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopping
