"""The shape of an account, as it is sent and as it is shown."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    StringConstraints,
    model_validator,
)

from asyncmail.api.schemas import Ok, Payload, encodable
from asyncmail.model import Account, OnUncertain, RateLimits, Tls

IMPLICIT_TLS_PORT = 465
SUBMISSION_PORT = 587

LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")

# What the checks below do, for readers of the OpenAPI document.
HOST_SCHEMA: dict[str, JsonValue] = {
    "anyOf": [{"pattern": f"^{HOST_NAME.pattern}$"}, {"format": "ipv6"}]
}
PRINTABLE_SCHEMA: dict[str, JsonValue] = {
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
}
SMTP_NEEDS_A_HOST: dict[str, JsonValue] = {
    "if": {"properties": {"transport": {"const": "smtp"}}},
    "then": {"required": ["host"], "properties": {"host": {"type": "string"}}},
}


def host_name(value: str) -> str:
    """A host name (RFC 1123, A-labels) or an IP address; no URL, no port, no path."""
    if HOST_NAME.fullmatch(value):
        return value
    try:
        ipaddress.ip_address(value.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError("Input should be a host name or an IP address") from None
    return value.removeprefix("[").removesuffix("]")


def printable(value: str) -> str:
    """No control characters, no line ends of any kind, no lone surrogates."""
    if any(c < " " or "\x7f" <= c <= "\x9f" or c in "\u2028\u2029" for c in value):
        raise ValueError("Input should have no control characters")
    return encodable(value)


Text = Annotated[
    str,
    StringConstraints(max_length=1000),
    AfterValidator(printable),
    Field(json_schema_extra=PRINTABLE_SCHEMA),
]
Host = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    AfterValidator(host_name),
    Field(json_schema_extra=HOST_SCHEMA),
]
Limit = Annotated[int, Field(ge=0, le=1_000_000_000)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Patience = Annotated[FiniteFloat, Field(gt=0, le=86_400)]
TlsName = Literal["required", "opportunistic", "implicit", "none"]


class TimeoutsPayload(Payload):
    """Seconds that one step of a session may take; absent: as configured."""

    connect: Patience | None = None
    command: Patience | None = None
    data: Patience | None = None
    block: Patience | None = None
    dot: Patience | None = None


class AccountPayload(Payload):
    """An account of ``POST /account``."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "accA",
                "host": "smtp.example.com",
                "port": 587,
                "user": "shop",
                "password": "...",
                "limit_per_hour": 1000,
            },
            **SMTP_NEEDS_A_HOST,
        }
    )

    id: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128),
        AfterValidator(printable),
        Field(json_schema_extra=PRINTABLE_SCHEMA),
    ]
    host: Host | None = Field(default=None, description="needed by the transport `smtp`")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="absent: 465 with `tls: implicit`, else 587"
    )
    user: Text | None = None
    password: Text | None = Field(default=None, description="absent: the stored one is kept")
    ttl: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        default=None, description="seconds that an idle connection is kept; 300"
    )
    limit_per_minute: Limit | None = Field(default=None, description="0: no limit")
    limit_per_hour: Limit | None = None
    limit_per_day: Limit | None = None
    limit_behavior: Literal["defer", "error", "reject", "drop"] | None = Field(
        default=None, description="over the limit: `defer`, or `error` (`reject`, `drop`)"
    )
    use_tls: bool | None = Field(default=None, description="read only where `tls` is absent")
    tls: TlsName | None = None
    verify: bool | None = Field(default=None, description="the server's certificate; true")
    batch_size: Count | None = None
    max_connections: Annotated[int, Field(ge=1, le=1000)] | None = None
    transport: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "smtp"
    on_uncertain: Literal["retry", "hold"] | None = None
    timeouts: TimeoutsPayload | None = None

    @model_validator(mode="after")
    def _smtp_needs_a_host(self) -> AccountPayload:
        if self.host is None and self.transport == "smtp":
            raise ValueError("host is missing")
        return self

    @property
    def has_password(self) -> bool:
        """Whether a password was sent, be it an empty one."""
        return "password" in self.model_fields_set

    def account(self, tenant_id: str) -> Account:
        """The account that is meant."""
        tls = self._tls()
        port = IMPLICIT_TLS_PORT if tls is Tls.IMPLICIT else SUBMISSION_PORT
        timeouts = self.timeouts.model_dump(exclude_none=True) if self.timeouts else {}
        return Account(
            self.id,
            self.host or "",
            self.port or port,
            self.user or None,
            self.password or None,
            tenant_id,
            ttl=self.ttl or 300,
            limits=RateLimits(
                self.limit_per_minute or None,
                self.limit_per_hour or None,
                self.limit_per_day or None,
                error_over=self.limit_behavior not in (None, "defer"),
            ),
            batch_size=self.batch_size,
            tls=tls,
            verify=self.verify is not False,
            max_connections=self.max_connections,
            transport=self.transport,
            on_uncertain=OnUncertain(self.on_uncertain) if self.on_uncertain else None,
            timeouts=timeouts,
        )

    def _tls(self) -> Tls:
        """``use_tls`` is an older word: true asks for TLS of the port's kind; false never forbade
        STARTTLS, so it means "where it is offered"."""
        if self.tls is not None:
            return Tls(self.tls)
        if self.port == IMPLICIT_TLS_PORT:
            return Tls.IMPLICIT
        return Tls.OPPORTUNISTIC if self.use_tls is False else Tls.REQUIRED


class AccountView(BaseModel):
    """An account as listed. ``state``: ok, limited or broken; ``last_error`` says why it is broken."""

    id: str
    host: str
    port: int
    user: str | None
    has_password: bool
    ttl: float
    limit_per_minute: int | None
    limit_per_hour: int | None
    limit_per_day: int | None
    limit_behavior: Literal["defer", "error"]
    use_tls: bool
    tls: TlsName
    verify: bool
    batch_size: int | None
    max_connections: int | None
    transport: str
    on_uncertain: Literal["retry", "hold"] | None
    timeouts: dict[str, float]
    state: str
    last_error: str | None

    @classmethod
    def of(cls, account: Account, state: str, last_error: str | None) -> AccountView:
        """What may be shown of an account; of its password only whether there is one."""
        limits = account.limits
        return cls(
            id=account.id,
            host=account.host,
            port=account.port,
            user=account.user,
            has_password=bool(account.password),
            ttl=account.ttl,
            limit_per_minute=limits.per_minute,
            limit_per_hour=limits.per_hour,
            limit_per_day=limits.per_day,
            limit_behavior="error" if limits.error_over else "defer",
            use_tls=account.tls is not Tls.NONE,
            tls=account.tls.value,
            verify=account.verify,
            batch_size=account.batch_size,
            max_connections=account.max_connections,
            transport=account.transport,
            on_uncertain=account.on_uncertain.value if account.on_uncertain else None,
            timeouts=dict(account.timeouts),
            state=state,
            last_error=last_error,
        )


class AccountsReply(Ok):
    accounts: list[AccountView]
