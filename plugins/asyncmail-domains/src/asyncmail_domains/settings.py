"""The settings of the validator, ``[plugins.domains]``."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, Field

from asyncmail import PluginSettings
from asyncmail_domains.patterns import normal_pattern


def _normal_address(text: str) -> str:
    local_part, at, domain = text.strip().rpartition("@")
    if not (local_part and at):
        raise ValueError(f"{text!r} should be an address such as bob@example.org")
    return f"{local_part.lower()}@{normal_pattern(domain)}"


Pattern = Annotated[str, AfterValidator(normal_pattern)]
Recipient = Annotated[str, AfterValidator(_normal_address)]


class DomainsSettings(PluginSettings):
    """``[plugins.domains]``; times in seconds.

    ``allow`` and ``recipients``: if any of them is given, all other recipients are refused. ``deny``
    goes before both. ``lookup``: ask DNS whether a domain can get mail. ``nameservers``: instead
    of the system's.
    ``deadline_seconds``: how long a message waits for answers. ``max_ttl_seconds``: the longest that an
    answer is believed, whatever its own TTL.
    """

    allow: tuple[Pattern, ...] = ()
    deny: tuple[Pattern, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    lookup: bool = True
    nameservers: tuple[IPv4Address | IPv6Address, ...] = ()
    nameserver_port: int = Field(53, ge=1, le=65535)
    deadline_seconds: float = Field(0.6, gt=0, le=0.8)
    cache_size: int = Field(10_000, ge=1, le=1_000_000)
    max_ttl_seconds: float = Field(3600.0, ge=0, le=86_400)
