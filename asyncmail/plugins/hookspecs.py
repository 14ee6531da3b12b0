"""The hooks: how a plugin announces what it offers.

All of them are synchronous and called once at start-up; every implementer is asked. What an offer
makes is awaited later, outside pluggy, by the guard.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from asyncmail.plugins.interfaces import (
    AttachmentSource,
    Filter,
    Observer,
    Offer,
    Retention,
    Sink,
    Transport,
    Validator,
)

PROJECT = "asyncmail"
ENTRY_POINT_GROUP = "asyncmail.v1"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def asyncmail_validators() -> Iterable[Offer[Validator]]:
    """Offer validators, to be named in ``[plugins] validators``."""
    return ()


@hookspec
def asyncmail_transports() -> Iterable[Offer[Transport]]:
    """Offer transports, to be named in ``[plugins] transports`` and by accounts."""
    return ()


@hookspec
def asyncmail_sinks() -> Iterable[Offer[Sink]]:
    """Offer report sinks, to be named in ``[plugins] sinks``."""
    return ()


@hookspec
def asyncmail_retention() -> Iterable[Offer[Retention]]:
    """Offer retention policies, to be named in ``[plugins] retention``."""
    return ()


@hookspec
def asyncmail_filters() -> Iterable[Offer[Filter]]:
    """Offer filters, to be named in ``[plugins] filters``."""
    return ()


@hookspec
def asyncmail_attachments() -> Iterable[Offer[AttachmentSource]]:
    """Offer attachment sources, to be named in ``[plugins] attachments``."""
    return ()


@hookspec
def asyncmail_observers() -> Iterable[Offer[Observer]]:
    """Offer observers, to be named in ``[plugins] observers``."""
    return ()
