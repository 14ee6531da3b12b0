"""The attachment sources: ``base64`` (content inside the message), ``files`` and ``https``."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Iterable

from asyncmail import AttachmentError, AttachmentSource, Context, Offer, PluginSettings, hookimpl
from asyncmail.builtin.content import check_md5
from asyncmail.builtin.files import Files, FilesSettings
from asyncmail.builtin.https import Https, HttpsSettings
from asyncmail.model import Attachment, AttachmentReference, Message

PREFIX = "base64:"
OFF_LOOP_LENGTH = 262_144  # characters; decoding more would hold up the event loop


class Inline(AttachmentSource):
    """``base64:...``: strictly RFC 4648 section 4, without blanks or line ends."""

    def handles(self, reference: AttachmentReference) -> bool:
        if reference.fetch_mode is not None:
            return reference.fetch_mode == "base64"
        return reference.storage_path.startswith(PREFIX)

    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        if len(reference.storage_path) > OFF_LOOP_LENGTH:
            return await asyncio.to_thread(_decode, reference)
        return _decode(reference)


def _decode(reference: AttachmentReference) -> Attachment:
    text = reference.storage_path.removeprefix(PREFIX)
    try:
        if len(text) % 4:  # which strict mode does not mind after complete groups
            raise ValueError("incorrect padding")
        content = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        why = f"{reference.filename}: not base64: {error}"
        raise AttachmentError(why, permanent=True) from None
    check_md5(content, reference)
    return Attachment(content)


def _inline(settings: PluginSettings, context: Context) -> Inline:
    return Inline()


def _files(settings: FilesSettings, context: Context) -> Files:
    return Files(settings, context.logger)


def _https(settings: HttpsSettings, context: Context) -> Https:
    return Https(settings)


@hookimpl
def asyncmail_attachments() -> Iterable[Offer[AttachmentSource]]:
    return [
        Offer("base64", _inline),
        Offer("files", _files, FilesSettings),
        Offer("https", _https, HttpsSettings),
    ]
