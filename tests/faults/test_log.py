"""Nobody takes the log: its disk is full, its reader has gone, there never was one. Mail flows on."""

from __future__ import annotations

import signal
import socket
import sys

import httpx
import pytest

from asyncmail.testing import FaultSMTP
from asyncmail.testing.real_service import ASYNCMAIL, RealService, mail, until

# A program whose log goes where the first argument says, as a shell would have it go.
REDIRECTED = ("sh", "-c", 'target=$1; shift; eval "exec \\"\\$@\\" $target"', "sh")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def is_alive(service: RealService) -> bool:
    try:
        return (await service.api.get("/health")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.fault("process.no_log")
@pytest.mark.parametrize("target", ["2>&-", "2>/dev/full", "<&- >&- 2>&-", "2>/dev/null"])
async def test_a_service_whose_log_nobody_takes_sends_and_ends_as_usual(
    service: RealService, target: str
) -> None:
    service.program = (*REDIRECTED, target, *ASYNCMAIL)
    port = free_port()
    service.config["server"]["port"] = port
    service.config["logging"] = {"level": "DEBUG", "delivery_activity": True}
    async with FaultSMTP() as smtp:
        await service.run()
        service.connect(f"http://127.0.0.1:{port}")
        await until(lambda: is_alive(service))
        await service.account(smtp.port)
        await service.hand_in(mail(f"m{number}") for number in range(20))
        await service.in_state("sent", 20)
        service.signal(signal.SIGTERM)
        assert await service.ended() == 0


@pytest.mark.fault("process.no_log")
async def test_a_reader_of_the_log_that_goes_away_stops_nothing(service: RealService) -> None:
    gone_after_start = (
        "import subprocess, sys\n"
        "service = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True)\n"
        "for line in service.stderr:\n"
        "    sys.stderr.write(line)\n"
        "    sys.stderr.flush()\n"
        "    if 'listens on' in line:\n"
        "        break\n"
        "service.stderr.close()\n"
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: service.terminate())\n"
        "sys.exit(service.wait())\n"
    )
    service.program = (sys.executable, "-c", gone_after_start, *ASYNCMAIL)
    service.config["logging"] = {"level": "DEBUG", "delivery_activity": True}
    async with FaultSMTP() as smtp:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in(mail(f"m{number}") for number in range(20))
        await service.in_state("sent", 20)
        service.signal(signal.SIGTERM)
        assert await service.ended() == 0
