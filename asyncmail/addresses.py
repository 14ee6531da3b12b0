"""Reading mail addresses: each text is one mailbox that every reader understands alike, or refused.

The ordinary forms are recognised by one pattern; what is unusual (international domains, quoted local
parts, address literals) is left to email-validator, without DNS. What an address may be is decided
here, whom one may write to is the business of validators.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from asyncmail.errors import Rejected
from asyncmail.mime import words
from asyncmail.model import Address

MAX_LOCAL_PART = 64  # octets, RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # octets, RFC 5321 4.5.3.1.2
MAX_ADDRESS = 254  # octets, RFC 5321 4.5.3.1.3 less the angle brackets
MAX_DISPLAY = 255  # characters
MAX_TEXT = 1000  # characters of one address with its display name
MAX_LIST_TEXT = 100_000  # characters of a list in one string

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LOCAL_PART = rf"{_ATEXT}(?:\.{_ATEXT})*"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_ordinary = re.compile(rf"({_LOCAL_PART})@({_DOMAIN})").fullmatch
_is_domain = re.compile(_DOMAIN).fullmatch

# A display name without quotes is words and dots; anything that has a meaning elsewhere in an address
# list (comments, groups, routes, a second address) makes readers disagree about who gets the mail.
_is_phrase = re.compile(r'[^()<>\[\]:;@\\,"]*').fullmatch
_is_quoted = re.compile(r'"((?:[^"\\]|\\.)*)"').fullmatch
_ITEM = r'(?:[^",]++|"(?:[^"\\]|\\.)*+")++'  # possessive: linear in time, whatever the text
_is_list = re.compile(rf"{_ITEM}(?:,{_ITEM})*+").fullmatch
_list_items = re.compile(_ITEM).findall
_ESCAPED = re.compile(r"\\(.)")
_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def parse_address(text: str) -> Address:
    """Read ``local@domain`` or ``Display name <local@domain>``.

    Nothing is altered but the domain, which becomes lower case and A-labels (RFC 5890). Raises
    ``Rejected`` with a reason that begins with ``invalid address``.
    """
    if not isinstance(text, str):
        raise Rejected("invalid address: not a text")
    if len(text) > MAX_TEXT:
        raise _invalid(text, f"longer than {MAX_TEXT} characters")
    return _parsed(text)


@lru_cache(maxsize=1024)  # most senders write many messages
def _parsed(text: str) -> Address:
    ordinary = _ordinary(text)
    if ordinary is not None:
        return Address("", _checked(ordinary[1], ordinary[2].lower(), text))
    if words.has_controls(text) or (not text.isascii() and _BIDI_CONTROLS.search(text)):
        raise _invalid(text, "control characters")
    bare = text.strip(" ")
    if not bare.endswith(">"):
        return Address("", _addr_spec(bare, text))
    display, bracket, spec = bare[:-1].rpartition("<")
    if not bracket:
        raise _invalid(text, "'>' without '<'")
    return Address(_display_name(display.strip(" "), text), _addr_spec(spec, text))


def parse_addresses(value: str | Sequence[str]) -> tuple[Address, ...]:
    """Read a list of addresses, or one text with addresses between commas.

    Each is read as by ``parse_address``; an item of a list is exactly one address. Nothing, ``""`` and
    ``[]`` alike, gives an empty tuple.
    """
    if not isinstance(value, str):
        return tuple([parse_address(item) for item in value])
    if "," not in value:
        return (parse_address(value),) if value.strip(" ") else ()
    if len(value) > MAX_LIST_TEXT:
        raise _invalid(value, f"longer than {MAX_LIST_TEXT} characters")
    if _is_list(value) is None:  # an empty item, or a quotation mark without its partner
        raise _invalid(value, "not a list of addresses")
    return tuple([parse_address(item) for item in _list_items(value)])


def _checked(local_part: str, domain: str, text: str) -> str:
    """Put the addr-spec together if it keeps the limits of RFC 5321, in octets of UTF-8."""
    if "=?" in local_part:  # legal, but there are readers that would decode it
        raise _invalid(text, "an encoded word in the local part")
    spec = f"{local_part}@{domain}"
    size = len(spec) if spec.isascii() else len(spec.encode())
    local_size = size - len(domain) - 1  # the domain is ASCII by now
    if local_size > MAX_LOCAL_PART or len(domain) > MAX_DOMAIN or size > MAX_ADDRESS:
        raise _invalid(text, "too long")
    return spec


def _addr_spec(spec: str, text: str) -> str:
    ordinary = _ordinary(spec)
    if ordinary is not None:
        return _checked(ordinary[1], ordinary[2].lower(), text)
    local_part, _, domain = spec.rpartition("@")
    if not local_part or not domain:
        raise _invalid(text, "not of the form local@domain")
    if "<" in local_part or ">" in local_part:  # legal in quotes, but not safely so inside <>
        raise _invalid(text, "'<' or '>' in the local part")
    if unicodedata.normalize("NFC", local_part) != local_part:
        raise _invalid(text, "the local part is not in Unicode normalization form C")
    return _checked(local_part, _unusual(local_part, domain, text), text)


def _unusual(local_part: str, domain: str, text: str) -> str:
    """Have email-validator judge both parts; the domain as it goes on the wire."""
    from email_validator import validate_email  # rarely needed, and slow to import

    # Special-use names such as localhost are syntactically sound, yet the library refuses them.
    plain_domain = _is_domain(domain) is not None
    judged = f"{local_part}@example.com" if plain_domain else f"{local_part}@{domain}"
    try:
        valid = validate_email(
            judged,
            allow_smtputf8=True,
            allow_quoted_local=True,
            allow_domain_literal=True,
            check_deliverability=False,
            globally_deliverable=False,
        )
    except ValueError as error:
        raise _invalid(text, str(error)) from None
    return domain.lower() if plain_domain else valid.ascii_domain


def _display_name(display: str, text: str) -> str:
    quoted = _is_quoted(display)
    if quoted is not None:
        display = _ESCAPED.sub(r"\1", quoted[1])
    elif _is_phrase(display) is None:
        raise _invalid(text, "the display name needs quotation marks, or is not one")
    try:
        name = words.read(display)
    except ValueError as error:
        raise _invalid(text, str(error)) from None
    if len(name) > MAX_DISPLAY:
        raise _invalid(text, f"display name longer than {MAX_DISPLAY} characters")
    return name


def _invalid(text: str, why: str) -> Rejected:
    """The reason, with as much of the address as is safe and useful to show."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:80])
    cause = "".join(c if c.isprintable() else "?" for c in why[:200])
    return Rejected(f"invalid address: {shown!r}: {cause}")
