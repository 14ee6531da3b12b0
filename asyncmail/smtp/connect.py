"""Opening a connection to an account's smarthost up to login, on aiosmtplib; failures by phase."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiosmtplib

from asyncmail.errors import AsyncmailError, ConfigurationError
from asyncmail.failpoints import failpoint
from asyncmail.model import Account, Timeouts, Tls
from asyncmail.outcome import Phase, clean
from asyncmail.smtp.reach import Lookup, Resolver, connected
from asyncmail.smtp.replies import Reply
from asyncmail.smtp.session import Session, attach

# PLAIN first: servers that keep no readable password offer CRAM-MD5 and refuse it.
_MECHANISMS: dict[str, str] = {
    "plain": "auth_plain",
    "login": "auth_login",
    "cram-md5": "auth_crammd5",
}


class ConnectFailed(AsyncmailError):
    """No session with the smarthost; nothing of any message was written.

    ``phase`` and ``reply`` (``None``: none came) are what the outcome table asks for.
    """

    def __init__(self, what: str, phase: Phase, reply: Reply | None = None) -> None:
        super().__init__(clean(what))
        self.phase = phase
        self.reply = reply


class Connector:
    """Makes sessions. ``ca_file``: a PEM file of authorities that are trusted beside the system's.

    ``lookup`` finds a host's addresses; it is called in a thread.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        local_hostname: str | None,
        ca_file: Path | None,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self._timeouts = timeouts
        self._resolver = Resolver(lookup)
        self._local_hostname = local_hostname
        self._ca_file = ca_file
        self._contexts: dict[bool, ssl.SSLContext] = {}

    async def start(self) -> None:
        """Find the name for EHLO and read the certificates once, off the loop."""
        if self._local_hostname is None:
            self._local_hostname = await asyncio.to_thread(_own_name)
        for verify in (True, False):
            self._contexts[verify] = await asyncio.to_thread(_tls, verify, self._ca_file)

    def timeouts(self, account: Account) -> Timeouts:
        """The account's own, over the transport's."""
        return Timeouts(
            **{
                name: account.timeouts.get(name, getattr(self._timeouts, name))
                for name in Timeouts.__slots__
            }
        )

    async def __call__(self, account: Account) -> Session:
        """Connect and log in; raise ``ConnectFailed``."""
        if not account.host:
            raise ConnectFailed(f"account {account.id!r} has no host", Phase.CONNECT)
        if account.user and not account.password:
            raise ConnectFailed(
                f"account {account.id!r} has a user and no password, or one that no key in the key file"
                " opens; register it again with its password",
                Phase.AUTH,
            )
        timeouts = self.timeouts(account)
        client = aiosmtplib.SMTP(
            local_hostname=self._local_hostname,
            use_tls=account.tls is Tls.IMPLICIT,
            start_tls=False,  # done below, so that its failures are told from others
            tls_context=self._contexts[account.verify],
            timeout=timeouts.command,
        )
        try:
            return await self._open(client, account, timeouts)
        except BaseException:
            client.close()
            raise

    async def _open(self, client: aiosmtplib.SMTP, account: Account, timeouts: Timeouts) -> Session:
        at = f"{account.host}:{account.port}"
        with _phase(account, Phase.CONNECT, f"cannot find the address of {account.host}"):
            async with asyncio.timeout(timeouts.connect):
                addresses = await self._resolver.addresses(account.host, account.port)
        with _phase(account, Phase.CONNECT, f"cannot reach {at}"):
            async with asyncio.timeout(timeouts.connect):
                peer = await connected(addresses)
            await client.connect(hostname=account.host, sock=peer, timeout=timeouts.connect)
        with _phase(account, Phase.EHLO, f"{at} refused EHLO"):
            await _hello(client)
        if account.tls in (Tls.REQUIRED, Tls.OPPORTUNISTIC):
            await self._starttls(client, account, at)
        if account.user is not None:
            await _login(client, account)
        if client.transport is None:
            raise ConnectFailed(
                f"account {account.id!r} cannot use {at}: it closed the connection after login",
                Phase.AUTH,
            )
        failpoint("connect.done")
        return attach(client.transport, client.esmtp_extensions, timeouts, account.revision)

    async def _starttls(self, client: aiosmtplib.SMTP, account: Account, at: str) -> None:
        if not client.supports_extension("starttls"):
            if account.tls is Tls.OPPORTUNISTIC:
                return
            raise ConnectFailed(
                f"account {account.id!r} requires TLS and {at} offers no STARTTLS; nothing was sent",
                Phase.STARTTLS,
            )
        with _phase(account, Phase.STARTTLS, f"no TLS with {at}"):
            await client.starttls(timeout=client.timeout)
        with _phase(account, Phase.EHLO, f"{at} refused EHLO after STARTTLS"):
            await _hello(client)


async def _hello(client: aiosmtplib.SMTP) -> None:
    """EHLO, and HELO once if a server that stays knows none (RFC 5321 3.2)."""
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _login(client: aiosmtplib.SMTP, account: Account) -> None:
    if client.get_transport_info("sslcontext") is None and not _is_loopback(client):
        raise ConnectFailed(
            f"account {account.id!r} did not log in: without TLS the password would cross the network"
            f" to {account.host}:{account.port} in clear text",
            Phase.AUTH,
        )
    usable = [name for name in _MECHANISMS if name in client.server_auth_methods]
    if not usable:
        offered = ", ".join(client.server_auth_methods) or "nothing"
        raise ConnectFailed(
            f"account {account.id!r} cannot log in: of PLAIN, LOGIN and CRAM-MD5"
            f" {account.host}:{account.port} offers none, but {clean(offered)}",
            Phase.AUTH,
        )
    with _phase(account, Phase.AUTH, f"login as {account.user!r}"):
        for name in usable:
            try:
                await getattr(client, _MECHANISMS[name])(account.user, account.password)
            except aiosmtplib.SMTPAuthenticationError as refusal:
                # Only "not this mechanism" leads on: a wrong password asked twice locks accounts.
                if refusal.code not in (500, 501, 502, 503, 504, 534) or name == usable[-1]:
                    raise
            else:
                return


def _is_loopback(client: aiosmtplib.SMTP) -> bool:
    peer = client.get_transport_info("peername")
    try:
        return ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback
    except (TypeError, ValueError, IndexError):
        return False


@contextmanager
def _phase(account: Account, phase: Phase, what: str) -> Iterator[None]:
    """Turn aiosmtplib's many errors into one, with the phase they happened in."""
    reply: Reply | None = None
    try:
        yield
        return
    except aiosmtplib.SMTPAuthenticationError as error:
        reply = _reply_of(error)
        text = f"refused login ({error.code} {clean(error.message)})"
        if error.code // 100 == 5:
            text += ": check user and password"
    except aiosmtplib.SMTPResponseException as error:
        if isinstance(error, aiosmtplib.SMTPConnectResponseError):
            phase = Phase.GREETING
        reply = _reply_of(error)
        text = f"{what}: {reply or error.message}"
    except TimeoutError as error:
        text = f"{what}: no answer in time"
        if "ready message" in str(error):
            phase = Phase.GREETING
            if account.tls is not Tls.IMPLICIT:
                text += "; if this port speaks TLS from the start, set tls = implicit"
    except (aiosmtplib.SMTPException, OSError, ValueError, OverflowError) as error:
        cause = error.__cause__ or error
        if phase is Phase.CONNECT and isinstance(cause, aiosmtplib.SMTPServerDisconnected):
            phase = Phase.GREETING
        text = f"{what}: {_why(cause)}"
    raise ConnectFailed(_without_password(f"account {account.id!r} {text}", account), phase, reply)


def _reply_of(error: aiosmtplib.SMTPResponseException) -> Reply | None:
    """The server's reply; aiosmtplib reports bytes that are none with the code -1."""
    if error.code < 0:
        return None
    return Reply(error.code, error.message.encode("utf-8", "surrogateescape"))


def _why(error: BaseException) -> str:
    lost = (aiosmtplib.SMTPServerDisconnected, ConnectionResetError, ConnectionAbortedError)
    if isinstance(error, lost):
        return "the server closed the connection"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        hint = ""
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            hint = "; it does not speak TLS here, implicit TLS is usually on port 465"
        return f"TLS failed ({error.reason or error}){hint}"
    return str(error) or type(error).__name__


def _without_password(text: str, account: Account) -> str:
    """A server may repeat what it was sent."""
    for secret in _spellings(account):
        text = text.replace(secret, "***")
    return text


def _spellings(account: Account) -> tuple[str, ...]:
    if not account.password:
        return ()
    password = account.password
    plain = f"\0{account.user or ''}\0{password}"
    return (
        password,
        base64.b64encode(password.encode()).decode(),
        base64.b64encode(plain.encode()).decode(),
    )


def _own_name() -> str:
    """The host's full name, or an address literal where it has none (RFC 5321 4.1.4)."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


def _tls(verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    if verify:
        context = ssl.create_default_context()
        if ca_file is not None:
            _trust(context, ca_file)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"cannot read the certificates in {ca_file}: {error}") from None
