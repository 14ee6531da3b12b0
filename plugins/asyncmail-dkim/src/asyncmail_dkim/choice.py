"""Which keys sign a message: by the domain of its From, then by its account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from email.utils import getaddresses
from typing import Generic, TypeVar

from asyncmail_dkim.settings import KeySettings

KeyT = TypeVar("KeyT")

_FROM = re.compile(rb"^from[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)
_LOCAL = r'[^\s<>()"\\,;:@]+'
_DOMAIN = r"([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)"
_WORDS = r'(?:[^<>()"\\,;:@]*|"[^"\\]*" *)'
_is_simple = re.compile(rf"{_LOCAL}@{_DOMAIN}|{_WORDS}<{_LOCAL}@{_DOMAIN}>").fullmatch
_domain_at_end = re.compile(rf"@{_DOMAIN}\Z").search


def from_domain(header: bytes) -> str | None:
    """The domain of the first mailbox in From, in lower case.

    ``None`` if there is not exactly one From field, or no domain in it (an address literal, say).
    """
    fields = _FROM.findall(header)
    if len(fields) != 1:
        return None
    value = fields[0].replace(b"\r\n", b"").decode("utf-8", "replace").strip()
    match = _is_simple(value)  # nearly all are
    if match is not None:
        domain = match[1] or match[2]
    else:
        specs = [spec for _, spec in getaddresses([value]) if spec]
        found = _domain_at_end(specs[0]) if specs else None
        if found is None:
            return None
        domain = found[1]
    return domain.lower()


class Choice(Generic[KeyT]):
    """Finds the keys of a message among all that are configured."""

    def __init__(self, keys: Iterable[KeyT], settings_of: Callable[[KeyT], KeySettings]) -> None:
        self._settings_of = settings_of
        self._by_domain: dict[str, list[KeyT]] = {}
        for key in keys:
            self._by_domain.setdefault(settings_of(key).domain, []).append(key)

    def __call__(self, domain: str | None, account_id: str) -> Sequence[KeyT]:
        """All keys of the domain, or of the nearest one above it that signs for subdomains.

        Of these, the ones that name the account; the ones that name no account if there are none.
        """
        name = domain or ""
        while name:
            keys = [
                key
                for key in self._by_domain.get(name, ())
                if self._is_for(key, domain, account_id)
            ]
            if keys:
                own = [key for key in keys if self._settings_of(key).accounts is not None]
                return own or keys
            name = name.partition(".")[2]
        return ()

    def _is_for(self, key: KeyT, domain: str | None, account_id: str) -> bool:
        settings = self._settings_of(key)
        return (settings.subdomains or settings.domain == domain) and (
            settings.accounts is None or account_id in settings.accounts
        )
