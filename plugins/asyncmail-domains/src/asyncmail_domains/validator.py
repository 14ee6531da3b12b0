"""The validator ``domains``: who may be written to, and whether their domains can get mail at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from asyncmail import Context, Rejected, Validator
from asyncmail.model import Account, Message
from asyncmail_domains.cache import Cache
from asyncmail_domains.lookups import Lookups
from asyncmail_domains.mx import Answer, MailHosts
from asyncmail_domains.patterns import Domains
from asyncmail_domains.settings import DomainsSettings


class DomainsValidator(Validator):
    """Looks at the recipients of the envelope: to, cc and bcc."""

    def __init__(self, settings: DomainsSettings, context: Context) -> None:
        self._settings = settings
        self._clock = context.clock
        self._log = context.logger
        self._allow = Domains(settings.allow)
        self._deny = Domains(settings.deny)
        self._recipients = frozenset(settings.recipients)
        self._restricted = bool(settings.allow or settings.recipients)
        self._lookups: Lookups | None = None

    async def start(self) -> None:
        settings = self._settings
        if not settings.lookup:
            return
        nameservers = [str(address) for address in settings.nameservers]
        hosts = await asyncio.to_thread(MailHosts, nameservers, settings.nameserver_port)
        cache = Cache(settings.cache_size, settings.max_ttl_seconds, self._clock)
        self._lookups = Lookups(hosts, cache, settings.deadline_seconds, self._log)

    async def stop(self) -> None:
        if self._lookups is not None:
            await self._lookups.close()
            self._lookups = None

    async def validate(self, message: Message, account: Account) -> Iterable[str] | None:
        """Reasons begin with ``invalid address``. A domain that DNS does not answer for is a warning."""
        domains: dict[str, str] = {}  # to a recipient there
        for recipient in message.recipients:
            domain = recipient.rpartition("@")[2]
            self._check_lists(recipient, domain)
            if not domain.startswith("["):  # an address literal needs no DNS
                domains.setdefault(domain, recipient)
        if self._lookups is None:
            return None
        warnings = []
        for domain, finding in (await self._lookups.find(domains)).items():
            if finding.answer is Answer.NO:
                raise _refused(domains[domain], f"{domain} {finding.words}")
            if finding.answer is Answer.UNKNOWN:
                warnings.append(f"{domain} could not be checked: {finding.words}")
        return warnings or None

    def _check_lists(self, recipient: str, domain: str) -> None:
        if domain in self._deny:
            raise _refused(recipient, f"mail to {domain} is not allowed here")
        if self._restricted and not (
            domain in self._allow or recipient.lower() in self._recipients
        ):
            raise _refused(recipient, "it is not among the recipients that are allowed here")


def _refused(recipient: str, why: str) -> Rejected:
    return Rejected(f"invalid address: {recipient!r}: {why}")
