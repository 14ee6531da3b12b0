"""The kinds of extensions, and a chosen extension together with the package it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeVar

from asyncmail.plugins.interfaces import (
    AttachmentSource,
    Extension,
    Filter,
    Observer,
    Retention,
    Sink,
    Transport,
    Validator,
)

OWN_PACKAGE: Final = (
    "asyncmail"  # the built-in plugins come from it; nobody else may offer its names
)


class Kind(StrEnum):
    """What an extension is for; the value is its word in messages and metric labels."""

    VALIDATOR = "validator"
    TRANSPORT = "transport"
    SINK = "sink"
    RETENTION = "retention"
    FILTER = "filter"
    ATTACHMENT = "attachment"
    OBSERVER = "observer"

    @property
    def setting(self) -> str:
        """The key in ``[plugins]`` that names the chosen ones, and the end of the hook's name."""
        return "retention" if self is Kind.RETENTION else f"{self.value}s"

    @property
    def hook(self) -> str:
        return f"asyncmail_{self.setting}"


BASES: Final[Mapping[Kind, type[Extension]]] = {
    Kind.VALIDATOR: Validator,
    Kind.TRANSPORT: Transport,
    Kind.SINK: Sink,
    Kind.RETENTION: Retention,
    Kind.FILTER: Filter,
    Kind.ATTACHMENT: AttachmentSource,
    Kind.OBSERVER: Observer,
}

ExtensionT_co = TypeVar("ExtensionT_co", bound=Extension, covariant=True)


@dataclass(frozen=True, eq=False, slots=True)
class Loaded(Generic[ExtensionT_co]):
    """An extension in use, and whom to name when it fails. Compared and hashed by identity."""

    kind: Kind
    name: str
    package: str
    version: str
    extension: ExtensionT_co = field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' ({self.package} {self.version})"
