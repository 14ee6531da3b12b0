"""Patterns of domains: ``example.org`` is that domain alone, ``*.example.org`` all below it."""

from __future__ import annotations

from collections.abc import Iterable

import idna

ANY_BELOW = "*."


def normal_pattern(text: str) -> str:
    """A pattern in lower case and A-labels. Raises ``ValueError``."""
    below = text.startswith(ANY_BELOW)
    domain = text.removeprefix(ANY_BELOW)
    if "@" in domain or "*" in domain:
        raise ValueError(f"{text!r} should be a domain, or *. and a domain")
    try:
        name = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{text!r} is not a domain: {error}") from error
    return f"{ANY_BELOW}{name}" if below else name


class Domains:
    """A set of domains, as given by normal patterns; a look costs as much as the domain has labels."""

    def __init__(self, patterns: Iterable[str]) -> None:
        all_ = frozenset(patterns)
        self._below = frozenset(p.removeprefix(ANY_BELOW) for p in all_ if p.startswith(ANY_BELOW))
        self._exact = frozenset(p for p in all_ if not p.startswith(ANY_BELOW))

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)

    def __contains__(self, domain: str) -> bool:
        if domain in self._exact:
            return True
        rest = domain
        while rest and self._below:
            _, _, rest = rest.partition(".")
            if rest in self._below:
                return True
        return False
