"""The settings, ``[plugins.dkim]``: which key signs for which domain and account."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from asyncmail import PluginSettings

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_is_name = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*").fullmatch
_is_field_name = re.compile(r"[!-9;-~]{1,76}").fullmatch


def _dns_name(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not _is_name(name):
        raise ValueError("should be a name in the DNS, other letters than ASCII's as xn--...")
    return name


def _field_name(text: str) -> str:
    name = text.lower()
    if not _is_field_name(name):
        raise ValueError("should be the name of a header field")
    if name == "from":
        raise ValueError("a signature has to cover From (RFC 6376 5.4)")
    return name


DnsName = Annotated[str, AfterValidator(_dns_name)]
FieldName = Annotated[str, AfterValidator(_field_name)]


class Unsigned(StrEnum):
    """What becomes of a message that no key is for."""

    PASS = "pass"  # noqa: S105 - it goes on without a signature
    FAIL = "fail"


class KeySettings(PluginSettings):
    """A private key, and what it signs.

    ``domain``: the domain of From, and the signature's ``d=``. ``selector``: its ``s=``; the public key
    is at ``<selector>._domainkey.<domain>``. ``file``: the private key in PEM. ``subdomains``: also for
    From in subdomains, unless one of them has keys of its own. ``accounts``: only for these accounts.
    """

    domain: DnsName
    selector: DnsName
    file: Path
    subdomains: bool = False
    accounts: frozenset[str] | None = Field(None, min_length=1)

    def __str__(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


class DkimSettings(PluginSettings):
    """``[plugins.dkim]``. ``leave_out``: header fields that a smarthost rewrites, so not to be signed."""

    keys: tuple[KeySettings, ...] = Field(min_length=1)
    unsigned: Unsigned = Unsigned.PASS
    leave_out: frozenset[FieldName] = frozenset()

    @model_validator(mode="after")
    def _each_selector_once(self) -> Self:
        """Two keys of one name cannot both be in the DNS."""
        seen: set[str] = set()
        for key in self.keys:
            if str(key) in seen:
                raise ValueError(f"keys: {key} is there twice; one entry can name several accounts")
            seen.add(str(key))
        return self
