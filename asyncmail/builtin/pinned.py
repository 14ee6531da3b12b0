"""An HTTP transport that looks up a host itself and connects to exactly the address that it checked.

So a name that changes its address between check and connect (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import ssl

import httpx

from asyncmail.smtp.reach import Resolver

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddress(Exception):
    """The host has an address inside a private network or on this machine."""


class PinnedTransport(httpx.AsyncHTTPTransport):
    """For one host only: pooled connections are told apart by address, not by name.

    TLS is still verified against the name, and the Host header carries it.
    """

    def __init__(self, context: ssl.SSLContext, *, allow_private: bool, connections: int) -> None:
        super().__init__(
            verify=context, limits=httpx.Limits(max_connections=connections), trust_env=False
        )
        self._allow_private = allow_private
        self._resolver = Resolver()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises ``ForbiddenAddress``, ``OSError`` if the name is unknown, or what httpx raises."""
        host = request.url.raw_host.decode("ascii")
        failure: httpx.TransportError | None = None
        for address in await self._addresses(host, request.url.port or 443):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await super().handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error  # nothing was sent, so the next address may be tried
        raise failure or httpx.ConnectError(f"{host} has no address")

    async def _addresses(self, host: str, port: int) -> list[str]:
        found = await self._resolver.addresses(host, port)
        addresses = list(dict.fromkeys(str(address[0]) for _, address in found))
        if not self._allow_private:
            for address in addresses:
                if not _is_public(ipaddress.ip_address(address)):
                    raise ForbiddenAddress(f"{host} has the private address {address}")
        return addresses


def _is_public(address: IPAddress) -> bool:
    """Also looks at the IPv4 address inside an IPv6 one, where there is any."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
