"""The validator ``addresses``: which domains one may write to, and warnings about what may deceive.

The form of addresses is the core's business; here they are all well-formed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asyncmail import Context, Offer, PluginSettings, Rejected, Validator, hookimpl
from asyncmail.builtin.scripts import deception
from asyncmail.model import Account, Address, Message

MAX_WARNINGS = 20  # of one message


class ChecksSettings(PluginSettings):
    """``allow_single_label``: domains without a dot and all of ``.localhost`` are fine.
    ``allow_literals``: IP addresses in place of a domain are fine."""

    allow_single_label: bool = False
    allow_literals: bool = False


class Checks(Validator):
    """Looks at every address that appears in the message or its envelope."""

    def __init__(self, settings: ChecksSettings) -> None:
        self._single_label = settings.allow_single_label
        self._literals = settings.allow_literals

    async def validate(self, message: Message, account: Account) -> list[str] | None:
        """Reasons begin with ``invalid address``. A warning names the field and the address."""
        warnings: list[str] = []
        for field, addresses in _fields(message):
            for address in addresses:
                spec, display = address.spec, address.display
                domain = spec[spec.rfind("@") + 1 :]
                if not domain[-1:].isalpha() or "." not in domain or domain.endswith(".localhost"):
                    self._check_odd_domain(spec, domain)
                if display or "xn--" in domain or not spec.isascii():
                    warnings += [f"{field} {spec}: {doubt}" for doubt in _doubts(address)]
        return warnings[:MAX_WARNINGS] or None

    def _check_odd_domain(self, spec: str, domain: str) -> None:
        if domain.startswith("["):
            allowed, why = self._literals, "address literals are not allowed"
        elif domain.rpartition(".")[2].isdigit():
            allowed, why = False, "an IP address is not a domain"
        elif "." not in domain or domain.endswith(".localhost"):
            allowed, why = self._single_label, "local domains are not allowed"
        else:
            return
        if not allowed:
            raise _refused(spec, why)


def _fields(message: Message) -> Iterator[tuple[str, Iterable[Address]]]:
    yield "from", (message.sender,)
    yield "to", message.to
    if message.cc:
        yield "cc", message.cc
    if message.bcc:
        yield "bcc", message.bcc
    if message.reply_to:
        yield "reply_to", message.reply_to
    if message.return_path:
        yield "return_path", (Address("", message.return_path),)


def _doubts(address: Address) -> Iterator[str]:
    local_part, _, domain = address.spec.rpartition("@")
    for what, text in (
        ("the display name", address.display),
        ("the local part", local_part),
        ("the domain", _readable(domain)),
    ):
        doubt = deception(text)
        if doubt is not None:
            yield f"{what} {doubt}"
    shown = address.display.strip()
    if "@" in shown and " " not in shown and shown.lower() != address.spec.lower():
        yield "the display name is another address"


def _readable(domain: str) -> str:
    """The domain as mail programs show it (RFC 3492)."""
    labels = domain.split(".")
    for place, label in enumerate(labels):
        if label.startswith("xn--"):
            try:
                labels[place] = label[4:].encode("ascii").decode("punycode")
            except UnicodeError:  # not a label that any program shows otherwise
                continue
    return ".".join(labels)


def _refused(spec: str, why: str) -> Rejected:
    return Rejected(f"invalid address: {spec!r}: {why}")


def _make(settings: ChecksSettings, context: Context) -> Checks:
    return Checks(settings)


@hookimpl
def asyncmail_validators() -> Iterable[Offer[Validator]]:
    return [Offer("addresses", _make, ChecksSettings)]
