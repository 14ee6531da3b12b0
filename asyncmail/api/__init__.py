"""The REST API: the only place that knows FastAPI."""

from asyncmail.api.account_schemas import AccountPayload
from asyncmail.api.app import create_api
from asyncmail.api.parts import ApiParts
from asyncmail.api.schemas import AttachmentPayload, MessagePayload

__all__ = ["AccountPayload", "ApiParts", "AttachmentPayload", "MessagePayload", "create_api"]
