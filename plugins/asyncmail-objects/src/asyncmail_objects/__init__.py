"""An attachment source for asyncmail that fetches from S3 and from local folders."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import AttachmentSource, Offer, hookimpl
from asyncmail_objects.settings import ObjectsSettings
from asyncmail_objects.source import Objects

__all__ = ["Objects", "ObjectsSettings"]


@hookimpl
def asyncmail_attachments() -> Iterable[Offer[AttachmentSource]]:
    return (Offer("objects", Objects, settings=ObjectsSettings),)
