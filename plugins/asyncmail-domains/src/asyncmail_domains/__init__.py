"""For asyncmail: a validator of recipient domains, and a transport that redirects all mail."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import Offer, Transport, Validator, hookimpl
from asyncmail_domains.redirect import RedirectSettings, RedirectTransport
from asyncmail_domains.settings import DomainsSettings
from asyncmail_domains.validator import DomainsValidator

__all__ = ["DomainsSettings", "DomainsValidator", "RedirectSettings", "RedirectTransport"]


@hookimpl
def asyncmail_validators() -> Iterable[Offer[Validator]]:
    return (Offer("domains", DomainsValidator, settings=DomainsSettings),)


@hookimpl
def asyncmail_transports() -> Iterable[Offer[Transport]]:
    return (Offer("redirect", RedirectTransport, settings=RedirectSettings),)
