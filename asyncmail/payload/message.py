"""A whole payload: its fields one by one, and what they must be together.

The same function reads a payload when it is accepted and again, from the store, when it is sent; so it
depends on nothing but its arguments. What it refuses, it refuses with a reason for the client.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from random import Random
from typing import Any

from asyncmail.addresses import parse_address, parse_addresses
from asyncmail.errors import Rejected
from asyncmail.mime import headers, raw
from asyncmail.model import Address, Message, OnUncertain
from asyncmail.payload import attachments, texts

MAX_ID = 255  # characters
MAX_ACCOUNT_ID = 128
MAX_RECIPIENTS = 500
MAX_SUBJECT = 2000
MAX_HEADERS = 100
MAX_HEADER_VALUE = 2000
MAX_MESSAGE_ID = 500
MAX_TAGS = 50
MAX_TAG = 128
MAX_DEFERRAL = 366 * 86400  # seconds
MAX_TIME = 253_402_300_799  # the last second of the year 9999

FIELDS = (
    *("id", "account_id", "from", "to", "cc", "bcc", "reply_to", "return_path", "subject"),
    *("body", "content_type", "text", "html", "calendar", "raw", "headers", "message_id"),
    *("attachments", "priority", "deferred_ts", "expires_ts", "on_uncertain", "tags"),
)
_NOT_BESIDE_RAW = (
    "subject",
    "body",
    "text",
    "html",
    "calendar",
    "headers",
    "reply_to",
    "attachments",
)

_DOT_ATOM = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+"
_is_message_id = re.compile(rf"{_DOT_ATOM}@(?:{_DOT_ATOM}|\[[!-Z^-~]+\])").fullmatch
_is_calendar = re.compile(r"BEGIN:VCALENDAR[ \t]*\r?\n", re.IGNORECASE).match


def message_from_payload(
    payload: Mapping[str, Any],
    *,
    tenant_id: str,
    account_id: str,
    priority: int,
    created_ts: float,
    generation: int = 1,
) -> Message:
    """Read a payload under the names of the REST API; unknown fields are ignored.

    Raises ``Rejected``, and nothing else whatever the payload is. ``message_id`` is "" where the
    payload has none: see ``fill_in``.
    """
    if not isinstance(payload, Mapping):
        raise Rejected("invalid payload: a message is a JSON object")
    get = payload.get
    message_key = _id(get("id"))
    if get("account_id"):
        texts.opaque("account_id", get("account_id"), MAX_ACCOUNT_ID)
    sender = _sender(get("from"))
    to, cc, bcc = _recipients(get("to"), get("cc"), get("bcc"))
    text, html = _texts(payload)
    calendar = _calendar(get("calendar"))
    references = attachments.references(get("attachments"))
    given = get("message_id")
    message_id = "" if given is None else _message_id(given)
    own = get("raw")
    if own is not None:
        own = _raw(own, payload)
        message_id = raw.message_id(own) or message_id
    elif text is None and html is None and calendar is None and not references:
        raise Rejected("invalid payload: body is missing")
    return Message(
        id=message_key,
        account_id=account_id,
        sender=sender,
        to=to,
        cc=cc,
        bcc=bcc,
        subject=_subject(get("subject")),
        text=text,
        html=html,
        message_id=message_id,
        created_ts=created_ts,
        tenant_id=tenant_id,
        generation=generation,
        priority=priority,
        reply_to=_addresses("reply_to", get("reply_to")),
        return_path=_return_path(get("return_path")),
        headers=_headers(get("headers")),
        attachments=references,
        calendar=calendar,
        raw=own,
        tags=_tags(get("tags")),
        deferred_ts=_deferred_ts(get("deferred_ts"), created_ts),
        expires_ts=_timestamp("expires_ts", get("expires_ts")),
        on_uncertain=_on_uncertain(get("on_uncertain")),
    )


def fill_in(payload: Mapping[str, Any], *, created_ts: float, random: Random) -> dict[str, Any]:
    """The payload as it is to be stored: only fields that mean something, and a ``message_id``.

    Call it once, at accept, and read its result by ``message_from_payload``. ``random`` makes the
    Message-ID unique. Raises ``Rejected``.
    """
    if not isinstance(payload, Mapping):
        raise Rejected("invalid payload: a message is a JSON object")
    stored = {name: payload[name] for name in FIELDS if payload.get(name) is not None}
    for name in ("text", "html"):
        if name in stored and ("body" in stored or not isinstance(stored[name], str)):
            del stored[name]
    if not isinstance(stored.get("content_type", ""), str):
        del stored["content_type"]
    if "attachments" in stored:
        stored["attachments"] = attachments.known_fields(stored["attachments"])
    if "message_id" not in stored:
        domain = _sender(stored.get("from")).domain
        stored["message_id"] = f"<{int(created_ts):x}.{random.getrandbits(80):020x}@{domain}>"
    if "raw" in stored:
        own = raw.message_id(_raw(stored["raw"], stored))
        stored["message_id"] = own or stored["message_id"]
    return stored


# --- who -----------------------------------------------------------------------------------------


def _id(value: object) -> str:
    if value is None or (isinstance(value, str) and not value.strip(" ")):
        raise Rejected("missing id")
    return texts.opaque("id", value, MAX_ID)


def _sender(value: object) -> Address:
    if value is None or (isinstance(value, str) and not value.strip(" ")):
        raise Rejected("missing from")
    if not isinstance(value, str):
        raise Rejected("invalid payload: from must be a text with one address")
    return parse_address(value)


def _recipients(
    to: object, cc: object, bcc: object
) -> tuple[tuple[Address, ...], tuple[Address, ...], tuple[Address, ...]]:
    groups = _addresses("to", to), _addresses("cc", cc), _addresses("bcc", bcc)
    count = len(groups[0]) + len(groups[1]) + len(groups[2])
    if not count:
        raise Rejected("missing to")
    if count > MAX_RECIPIENTS:
        raise Rejected(f"too large: {count} recipients, at most {MAX_RECIPIENTS} are taken")
    return groups


def _addresses(name: str, value: object) -> tuple[Address, ...]:
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        if len(value) > MAX_RECIPIENTS:
            raise Rejected(f"too large: more than {MAX_RECIPIENTS} addresses in {name}")
    elif not isinstance(value, str):
        raise Rejected(f"invalid payload: {name} must be a text or a list of texts")
    return parse_addresses(value)


def _return_path(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Rejected("invalid payload: return_path must be a text")
    if value in ("", "<>"):
        return ""
    address = parse_address(value)
    if address.display:
        raise Rejected("invalid address: return_path has no place for a display name")
    return address.spec


# --- what ----------------------------------------------------------------------------------------


def _subject(value: object) -> str:
    return "" if value is None else texts.line("subject", value, MAX_SUBJECT)


def _texts(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(plain text, HTML). A ``body`` wins over ``text`` and ``html``, which must then be ignored."""
    body = payload.get("body")
    if body is not None:
        content_type = payload.get("content_type")
        content = texts.content("body", body)
        is_html = isinstance(content_type, str) and content_type.lower() == "html"
        return (None, content) if is_html else (content, None)
    text, html = payload.get("text"), payload.get("html")
    return (
        texts.content("text", text) if isinstance(text, str) else None,
        texts.content("html", html) if isinstance(html, str) else None,
    )


def _calendar(value: object) -> str | None:
    if value is None:
        return None
    text = texts.content("calendar", value)
    if not _is_calendar(text):
        raise Rejected("invalid payload: calendar must begin with BEGIN:VCALENDAR")
    return text


def _raw(value: object, payload: Mapping[str, Any]) -> bytes:
    for name in _NOT_BESIDE_RAW:
        if payload.get(name):
            raise Rejected(f"invalid payload: {name} has no place beside raw")
    if not isinstance(value, str):
        raise Rejected("invalid payload: raw must be a text")
    try:
        return raw.clean(binascii.a2b_base64(value, strict_mode=True))
    except ValueError as error:
        raise Rejected(f"invalid payload: raw: {error}") from None


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise Rejected("invalid payload: headers must be an object")
    if len(value) > MAX_HEADERS:
        raise Rejected(f"too large: more than {MAX_HEADERS} headers")
    return tuple([_header(name, content) for name, content in value.items()])


def _header(name: str, content: object) -> tuple[str, str]:
    try:
        headers.check_custom_name(name)
    except ValueError as error:
        raise Rejected(f"invalid payload: {error}") from None
    if isinstance(content, bool) or not isinstance(content, str | int | float):
        raise Rejected(f"invalid payload: header {name} must be a text or a number")
    if not isinstance(content, str):
        if not -1e300 < content < 1e300:
            raise Rejected(f"invalid payload: header {name} is not a finite number")
        content = str(content)
    read = texts.line(f"header {name}", content, MAX_HEADER_VALUE)
    if content.isascii():  # its structure, encoded words included, is the client's business
        return name, content.strip(" ")
    return name, texts.line(f"header {name}", read, MAX_HEADER_VALUE).strip(" ")


def _message_id(value: object) -> str:
    text = value.strip(" ") if isinstance(value, str) else ""
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if len(text) > MAX_MESSAGE_ID or "=?" in text or not _is_message_id(text):
        raise Rejected("invalid payload: message_id must be of the form <left@right>")
    return f"<{text}>"


# --- how -----------------------------------------------------------------------------------------


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise Rejected("invalid payload: tags must be a list of texts")
    if len(value) > MAX_TAGS:
        raise Rejected(f"too large: more than {MAX_TAGS} tags")
    return tuple([texts.opaque("a tag", tag, MAX_TAG) for tag in value])


def _deferred_ts(value: object, created_ts: float) -> float | None:
    deferred_ts = _timestamp("deferred_ts", value)
    if deferred_ts is not None and deferred_ts > created_ts + MAX_DEFERRAL:
        raise Rejected("invalid payload: deferred_ts is more than a year ahead")
    return deferred_ts


def _timestamp(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected(f"invalid payload: {name} must be a number of seconds since 1970")
    if not 0 <= value <= MAX_TIME:
        raise Rejected(f"invalid payload: {name} is out of range")
    return value


def _on_uncertain(value: object) -> OnUncertain | None:
    if value is None:
        return None
    if value == "retry":
        return OnUncertain.RETRY
    if value == "hold":
        return OnUncertain.HOLD
    raise Rejected("invalid payload: on_uncertain must be retry or hold")
