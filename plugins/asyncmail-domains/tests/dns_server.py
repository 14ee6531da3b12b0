"""A name server on loopback, by UDP and TCP, that answers from a script."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

TTL = 600
NEGATIVE_TTL = 60


class DnsServer:
    """``zone``: records by name and type; other names do not exist, unless ``catch_all`` gives them an
    MX. ``failing`` names get SERVFAIL, ``silent`` ones nothing; ``truncated`` ones need TCP."""

    def __init__(self, zone: Mapping[str, Mapping[str, list[str]]]) -> None:
        self.zone = dict(zone)
        self.catch_all = False
        self.ttl = TTL
        self.failing: set[str] = set()
        self.silent: set[str] = set()
        self.truncated: set[str] = set()
        self.queries: list[tuple[str, str, str]] = []
        self.heard = asyncio.Event()  # a query has come
        self.port = 0

    def asked(self, name: str) -> list[str]:
        """The types that were asked for of a name, in order."""
        return [kind for asked, kind, _ in self.queries if asked == name]

    def reply(self, wire: bytes, protocol: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind, protocol))
        self.heard.set()
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        records = self.zone.get(name)
        if records is None and self.catch_all:
            records = {"MX": ["10 mx.test."]}
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name in self.truncated and protocol == "udp":
            response.flags |= dns.flags.TC
        elif records is not None and kind in records:
            answer = dns.rrset.from_text(question.name, self.ttl, "IN", kind, *records[kind])
            response.answer.append(answer)
        else:
            if records is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
            soa = f"ns.test. admin.test. 1 3600 600 86400 {NEGATIVE_TTL}"
            response.authority.append(
                dns.rrset.from_text(question.name.parent(), TTL, "IN", "SOA", soa)
            )
        return response.to_wire()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DnsServer]:
        """It answers inside the block."""
        loop = asyncio.get_running_loop()
        datagrams, listener = _same_port()
        self.port = listener.getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        server = await asyncio.start_server(self._stream, sock=listener)
        try:
            yield self
        finally:
            transport.close()
            server.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            [length] = struct.unpack("!H", await reader.readexactly(2))
            reply = self.reply(await reader.readexactly(length), "tcp")
            if reply is not None:
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.reply(data, "udp")
        if reply is not None:
            self._transport.sendto(reply, addr)  # type: ignore[attr-defined]


def _same_port() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port."""
    for _ in range(20):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        try:
            return datagrams, socket.create_server(("127.0.0.1", datagrams.getsockname()[1]))
        except OSError:
            datagrams.close()
    raise OSError("no port is free for both protocols")
