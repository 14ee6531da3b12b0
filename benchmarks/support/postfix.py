"""The opponent: Debian's Postfix as a relay with a configuration and a queue of the benchmark's own.

Durable default queue, no DNS, no chroot, no TLS, no content checks, no maps. Tried and left out because
they gained nothing: 10 and 40 deliveries at a time, a connection cache. All it runs with: ``settings()``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.service import free_port

PROGRAMS = ("postfix", "postconf", "smtp-source")
SMTPD_PROCESSES = 20
DELIVERIES = 20

MAIN_CF = {
    "compatibility_level": "3.6",
    "mail_owner": "postfix",
    "myhostname": "postfix.example.com",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "maillog_file": "",
    # a relay and nothing else: no lookups of any kind
    "mydestination": "",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "smtp_host_lookup": "native",
    "smtp_dns_support_level": "disabled",
    "smtpd_peername_lookup": "no",
    "disable_dns_lookups": "yes",
    "biff": "no",
    "append_dot_mydomain": "no",
    "local_header_rewrite_clients": "",
    "receive_override_options": "no_unknown_recipient_checks, no_header_body_checks,"
    " no_address_mappings, no_milters",
    "smtpd_recipient_restrictions": "permit_mynetworks, reject",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_tls_security_level": "none",
    "smtp_tls_security_level": "none",
    # concurrency
    "default_process_limit": "100",
    "default_destination_concurrency_limit": str(DELIVERIES),
    "initial_destination_concurrency": str(DELIVERIES),
    "smtpd_client_connection_count_limit": "0",
    "max_use": "10000",
    "smtp_connection_cache_on_demand": "no",  # asking scache costs more than a connection on loopback
    "in_flow_delay": "0",
    "qmgr_message_active_limit": "20000",
    "qmgr_message_recipient_limit": "20000",
}

MASTER_CF = """\
127.0.0.1:{port} inet n - n - {smtpd} smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - {deliveries} smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
"""


def missing() -> str | None:
    """Why Postfix cannot take part; ``None`` if it can."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: postfix)"
    if os.geteuid() != 0:
        return "Postfix can only be started by root"
    return None


class Postfix:
    """A relay with a folder of its own."""

    def __init__(self, folder: Path, smarthost_port: int) -> None:
        self._config = folder / "etc"
        self._queue = folder / "queue"
        self.port = free_port()
        self._main = {
            **MAIN_CF,
            "queue_directory": str(self._queue),
            "data_directory": str(folder / "data"),
            "relayhost": f"[127.0.0.1]:{smarthost_port}",
        }

    @property
    def pid(self) -> int:
        """The master process, from which all others descend."""
        return int((self._queue / "pid" / "master.pid").read_text())

    def start(self) -> None:
        """Write the configuration, make the queue, start the master."""
        for folder in (self._config, self._queue, Path(self._main["data_directory"])):
            folder.mkdir(parents=True)
        shutil.chown(self._main["data_directory"], "postfix")
        lines = (f"{key} = {value}\n" for key, value in self._main.items())
        (self._config / "main.cf").write_text("".join(lines))
        (self._config / "master.cf").write_text(
            MASTER_CF.format(port=self.port, smtpd=SMTPD_PROCESSES, deliveries=DELIVERIES)
        )
        self._run("start")

    def stop(self) -> None:
        """Stop the master and all its processes."""
        self._run("stop")

    def settings(self) -> dict[str, str]:
        """Everything that differs from Postfix's defaults."""
        output = subprocess.run(
            ["postconf", "-c", self._config, "-n"], check=True, capture_output=True, text=True
        ).stdout
        return dict(line.split(" =", 1) for line in output.splitlines())

    def queued(self) -> int:
        """Queue files that have not left yet."""
        folders = ("incoming", "active", "deferred", "maildrop")
        return sum(
            path.is_file() for folder in folders for path in (self._queue / folder).rglob("*")
        )

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["postfix", "-c", self._config, command], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"postfix {command} failed:\n{done.stdout}{done.stderr}")


@asynccontextmanager
async def postfix(folder: Path, smarthost_port: int) -> AsyncIterator[Postfix]:
    """A relay while the block runs."""
    relay = Postfix(folder, smarthost_port)
    await asyncio.to_thread(relay.start)
    try:
        yield relay
    finally:
        await asyncio.to_thread(relay.stop)


async def smtp_source(port: int, messages: int, sessions: int, message: Path) -> None:
    """Postfix's own load generator: one message after the other on each of its sessions."""
    options = ["-d", "-N", "-s", str(sessions), "-m", str(messages), "-F", str(message)]
    envelope = ["-M", "source.example.com", "-f", "sender@example.com", "-t", "reader@example.net"]
    process = await asyncio.create_subprocess_exec(
        "smtp-source", *options, *envelope, f"127.0.0.1:{port}"
    )
    if await process.wait() != 0:
        raise RuntimeError("smtp-source failed")
