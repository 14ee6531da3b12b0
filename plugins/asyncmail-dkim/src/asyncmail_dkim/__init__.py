"""DKIM for asyncmail: a filter that signs, and a validator that refuses what could not be signed."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import Filter, Offer, Validator, hookimpl
from asyncmail_dkim.filter import DkimFilter
from asyncmail_dkim.settings import DkimSettings, KeySettings
from asyncmail_dkim.validator import DkimValidator

__all__ = ["DkimFilter", "DkimSettings", "DkimValidator", "KeySettings"]


@hookimpl
def asyncmail_filters() -> Iterable[Offer[Filter]]:
    return (Offer("dkim", DkimFilter, settings=DkimSettings),)


@hookimpl
def asyncmail_validators() -> Iterable[Offer[Validator]]:
    return (Offer("dkim", DkimValidator, settings=DkimSettings),)
