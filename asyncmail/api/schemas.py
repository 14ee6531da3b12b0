"""The shapes that clients send and get, under the contract's own names, with the examples of its pages.

Unknown fields are ignored, and with them the ones that only the service may set. Types are strict: no
string is taken for a number, no true for a 1. What the models cannot see (that an address is one, that
an account exists) is checked at intake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
)

from asyncmail.model import Priority

MAX_BATCH = 1000
MAX_SUBJECT = 2000
MAX_HEADERS = 100
MAX_HEADER_VALUE = 2000
MAX_ATTACHMENTS = 100
MAX_ADDRESS_LIST = 200_000  # characters of one string, and
MAX_ADDRESSES = 500  # entries of one list
MAX_TAGS = 50
MAX_INTEGER = 2**53 - 1
LAST_TS = 253402300799  # the end of the year 9999


class Payload(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


def priority_number(value: Any) -> Any:
    """A priority's number for its label, in any case; other values are left to the type's own check."""
    if not isinstance(value, str):
        return value
    label = value.upper()
    if not value.isascii() or label not in Priority.__members__:
        labels = ", ".join(p.name.lower() for p in Priority)
        raise ValueError(f"Input should be 0 to 3 or one of {labels}")
    return Priority[label].value


def _in_any_case(labels: Iterable[str]) -> str:
    """A pattern that every dialect of regular expressions reads alike."""
    spelt = ["".join(f"[{c.upper()}{c.lower()}]" for c in label) for label in labels]
    return f"^({'|'.join(spelt)})$"


def _string_or_nothing(value: Any) -> Any:
    """Old clients send ``html: true`` to say what ``content_type`` says; that is not content."""
    return value if isinstance(value, str) else None


def encodable(value: str) -> str:
    """Whole characters: half a surrogate pair has no UTF-8, so nothing stores it or says it back."""
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("Input should be valid Unicode")
    return value


PriorityNumber = Annotated[int, Field(ge=0, le=3)]
PriorityLabel = Annotated[str, Field(pattern=_in_any_case(p.name for p in Priority))]
PriorityField = Annotated[
    PriorityNumber,
    BeforeValidator(priority_number, json_schema_input_type=PriorityNumber | PriorityLabel),
]
Timestamp = Annotated[int, Field(ge=0, le=LAST_TS)]
AddressText = Annotated[str, StringConstraints(max_length=MAX_ADDRESS_LIST)]
Addresses = AddressText | Annotated[list[AddressText], Field(max_length=MAX_ADDRESSES)]
HeaderValue = (
    Annotated[str, StringConstraints(max_length=MAX_HEADER_VALUE)]
    | Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    | Annotated[FiniteFloat, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
)
Content = Annotated[str | None, BeforeValidator(_string_or_nothing)]


class AttachmentPayload(Payload):
    """An attachment, by reference or inline. With ``content_id`` it is an inline image."""

    storage_path: Annotated[
        str,
        Field(
            min_length=1,
            description="`base64:...`, `https://...`, `/path` under an allowed root, or `volume:path`",
        ),
    ]
    filename: str | None = None
    fetch_mode: Literal["base64", "http_url", "filesystem", "endpoint"] | None = None
    content_md5: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None = None
    mime_type: str | None = None
    content_id: str | None = None


class MessagePayload(Payload):
    """One message of ``POST /commands/add-messages``."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "MSG-101",
                "account_id": "accA",
                "from": "Shop <shop@example.com>",
                "to": ["ann@example.org"],
                "subject": "Your order",
                "body": "Thank you.",
                "priority": "high",
            }
        }
    )

    id: Annotated[str, Field(description="1 to 255 characters, opaque, no control characters")]
    account_id: str | None = None
    from_: Annotated[AddressText, Field(alias="from")]
    to: Addresses
    cc: Addresses | None = None
    bcc: Addresses | None = None
    reply_to: Addresses | None = None
    return_path: AddressText | None = Field(default=None, description="envelope sender")
    subject: Annotated[str, StringConstraints(max_length=MAX_SUBJECT)] | None = None
    body: str | None = None
    content_type: str | None = Field(default=None, description="anything but `html` is plain text")
    text: Content = Field(default=None, description="together with `html`, without `body`")
    html: Content = None
    headers: Annotated[dict[str, HeaderValue], Field(max_length=MAX_HEADERS)] | None = None
    message_id: Annotated[str, StringConstraints(max_length=500)] | None = None
    attachments: Annotated[list[AttachmentPayload], Field(max_length=MAX_ATTACHMENTS)] | None = None
    priority: PriorityField | None = Field(
        default=None, description="0 or immediate, 1 or high, 2 or medium, 3 or low"
    )
    deferred_ts: Timestamp | None = Field(
        default=None, description="not before this time; at most a year ahead"
    )
    expires_ts: Timestamp | None = Field(default=None, description="not after this time")
    raw: str | None = Field(default=None, description="a finished MIME message, in base64")
    calendar: str | None = Field(default=None, description="an iCalendar object (RFC 5545)")
    on_uncertain: Literal["retry", "hold"] | None = None
    tags: (
        Annotated[
            list[Annotated[str, StringConstraints(min_length=1, max_length=128)]],
            Field(max_length=MAX_TAGS),
        ]
        | None
    ) = None

    def stored(self) -> dict[str, Any]:
        """The payload as it is kept: the contract's names, nothing that was not sent."""
        return self.model_dump(by_alias=True, exclude_none=True)


class AddMessages(Payload):
    """The envelope of a batch. Its messages are looked at one by one, later."""

    messages: Annotated[list[Any], Field(max_length=MAX_BATCH)]
    default_priority: PriorityField | None = None


class AddMessagesBody(Payload):
    """``AddMessages`` as documented: the messages with their schema."""

    model_config = ConfigDict(title="AddMessages")

    messages: Annotated[list[MessagePayload], Field(max_length=MAX_BATCH)]
    default_priority: PriorityField | None = None


class DeleteMessages(Payload):
    """Which messages to forget."""

    model_config = ConfigDict(json_schema_extra={"example": {"ids": ["MSG-101"]}})

    ids: Annotated[list[Annotated[str, AfterValidator(encodable)]], Field(max_length=MAX_BATCH)]


class CleanupMessages(Payload):
    """How long a finished message must have been finished; absent: the configured retention."""

    model_config = ConfigDict(json_schema_extra={"example": {"older_than_seconds": 86400}})

    older_than_seconds: Annotated[FiniteFloat, Field(ge=0, le=LAST_TS)] | None = None


# --- replies -------------------------------------------------------------------------------------


class Ok(BaseModel):
    ok: Literal[True] = True


class Active(Ok):
    active: bool


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class RejectedMessage(BaseModel):
    """A message that was not taken; ``id`` is null where it had none that could be named."""

    id: str | None
    reason: str


class WarnedMessage(BaseModel):
    """A message that was taken, with something to know about it."""

    id: str
    warning: str


class AddMessagesReply(Ok):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "queued": 1,
                "rejected": [{"id": "MSG-100", "reason": "duplicate id: already sent"}],
            }
        }
    )

    queued: int
    rejected: list[RejectedMessage]
    warnings: list[WarnedMessage] | None = None


class DeleteMessagesReply(Ok):
    removed: int
    not_found: list[str]
    refused: list[RejectedMessage] | None = None


class CleanupReply(Ok):
    removed: int


class MessageView(BaseModel):
    """A message as listed. ``message`` is the payload and ``retry_count``; inline content is shown as
    its size."""

    id: str
    account_id: str
    priority: int
    status: Literal["queued", "sending", "deferred", "sent", "error"]
    deferred_ts: int | None
    sent_ts: int | None
    error_ts: int | None
    error: str | None
    reported_ts: int | None
    created_at: int
    updated_at: int
    message: dict[str, Any]


class MessagesReply(Ok):
    messages: list[MessageView]
    next_cursor: str | None = None


class RecipientView(BaseModel):
    """One recipient and the last word about it."""

    recipient: str
    outcome: Literal["accepted", "temporary", "permanent", "uncertain", "untried"]
    code: int | None
    enhanced: str | None
    text: str


class AttemptView(BaseModel):
    """One attempt; ``duration`` is in seconds."""

    generation: int
    started_ts: int
    duration: float
    outcome: str
    uncertain: bool
    error: str | None
    recipients: list[RecipientView]


class ReportView(BaseModel):
    """One result and what a sink made of it."""

    sink: str
    generation: int
    result_seq: int
    sent_ts: int | None
    error_ts: int | None
    error: str | None
    acknowledged_ts: int | None


class MessageHistoryReply(Ok, MessageView):
    """A message with all that happened to it, oldest first."""

    attempts: list[AttemptView]
    recipients: list[RecipientView]
    reports: list[ReportView]


class PluginView(BaseModel):
    """An installed plugin; ``kinds`` maps each kind to the names that it offers."""

    name: str
    package: str
    version: str
    status: Literal["loaded", "failed", "disabled"]
    kinds: dict[str, list[str]]
    error: str | None


class PluginsReply(Ok):
    plugins: list[PluginView]
