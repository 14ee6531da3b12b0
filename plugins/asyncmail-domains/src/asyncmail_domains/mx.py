"""What DNS says of a domain: whether it can get mail (RFC 5321 5.1, RFC 7505)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.resolver

QUERY_SECONDS = 1.0  # for one name server to answer
LOOKUP_SECONDS = 4.0  # for a whole query, with all retries
DOUBT_TTL = 30.0  # seconds that a failure is believed


class Answer(Enum):
    """Whether a domain can get mail."""

    YES = auto()
    NO = auto()
    UNKNOWN = auto()  # DNS did not say


@dataclass(frozen=True, slots=True)
class Finding:
    """``ttl``: seconds that DNS lets it be believed. ``words``: why not YES."""

    answer: Answer
    ttl: float = DOUBT_TTL
    words: str = ""


class MailHosts:
    """Asks the name servers; without any, those of the system. Raises ``NoResolverConfiguration``."""

    def __init__(self, nameservers: list[str], port: int) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            self._resolver.nameservers = list(nameservers)
            self._resolver.port = port
        self._resolver.timeout = QUERY_SECONDS
        self._resolver.lifetime = LOOKUP_SECONDS

    async def find(self, domain: str) -> Finding:
        """Look for MX records, then for addresses; whatever fails is an answer, too."""
        try:
            name = dns.name.from_text(domain)
        except dns.exception.DNSException:
            return Finding(Answer.NO, words="is not a domain name")
        try:
            return await self._find(name)
        except dns.resolver.NXDOMAIN as error:
            return Finding(Answer.NO, _ttl_of_nothing(error), "does not exist")
        except dns.exception.Timeout:
            return Finding(Answer.UNKNOWN, words="no name server answered")
        except (dns.exception.DNSException, OSError) as error:
            return Finding(Answer.UNKNOWN, words=" ".join(str(error).split())[:200])

    async def _find(self, name: dns.name.Name) -> Finding:
        mx = await self._ask(name, "MX")
        if mx.rrset is not None:
            if all(record.exchange == dns.name.root for record in mx.rrset):
                return Finding(Answer.NO, _ttl(mx), "takes no mail (null MX)")
            return Finding(Answer.YES, _ttl(mx))
        for kind in ("A", "AAAA"):
            addresses = await self._ask(name, kind)
            if addresses.rrset is not None:
                return Finding(Answer.YES, _ttl(addresses))
        return Finding(Answer.NO, _ttl(mx), "has neither a mail server nor an address")

    async def _ask(self, name: dns.name.Name, kind: str) -> dns.resolver.Answer:
        return await self._resolver.resolve(name, kind, raise_on_no_answer=False, search=False)


def _ttl(answer: dns.resolver.Answer) -> float:
    """Of the records and of the aliases on the way to them."""
    return float(answer.chaining_result.minimum_ttl)


def _ttl_of_nothing(error: dns.resolver.NXDOMAIN) -> float:
    """The negative TTL (RFC 2308 5)."""
    responses: dict[dns.name.Name, dns.message.QueryMessage] = error.kwargs["responses"]
    [response] = responses.values()
    try:
        return float(response.resolve_chaining().minimum_ttl)
    except dns.exception.DNSException:
        return DOUBT_TTL
