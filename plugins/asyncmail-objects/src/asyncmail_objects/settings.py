"""The settings of the source, ``[plugins.objects]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from asyncmail import PluginSettings
from asyncmail_objects.location import S3

MAX_BYTES = 25 * 1024 * 1024

_is_bucket = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]").fullmatch
_is_root = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*").fullmatch


class ObjectsSettings(PluginSettings):
    """``[plugins.objects]``.

    ``allow``: what may be fetched from S3, ``s3://bucket`` or ``s3://bucket/prefix``; a prefix ends at
    a ``/``. ``roots``: names and the absolute folder of each. ``max_bytes``, ``timeout_seconds``: of
    one fetch. ``endpoint``: of an S3-compatible service.
    """

    allow: tuple[str, ...] = ()
    roots: Mapping[str, Path] = Field(default_factory=dict)
    max_bytes: int = Field(MAX_BYTES, gt=0)
    timeout_seconds: float = Field(30.0, gt=0, le=55)
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    allow_http: bool = False

    @property
    def prefixes(self) -> Mapping[str, tuple[str, ...]]:
        """Each bucket and what the keys in it may begin with: "", or something that ends with a /."""
        found: dict[str, tuple[str, ...]] = {}
        for place in self.allow:
            bucket, prefix = _split(place)
            found[bucket] = (*found.get(bucket, ()), prefix and f"{prefix}/")
        return found

    @field_validator("allow")
    @classmethod
    def _are_places(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        for place in allow:
            bucket, prefix = _split(place)
            if not place.startswith(S3) or not _is_bucket(bucket):
                raise ValueError(f"'{place}' should be s3://bucket or s3://bucket/prefix")
            if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
                raise ValueError(f"the prefix of '{place}' should be a plain path")
        return allow

    @field_validator("roots")
    @classmethod
    def _are_folders(cls, roots: Mapping[str, Path]) -> Mapping[str, Path]:
        for name, folder in roots.items():
            if not _is_root(name):
                raise ValueError(f"'{name}' cannot be the name of a root")
            if not folder.is_absolute() or ".." in folder.parts:
                raise ValueError(f"the folder of '{name}' should be an absolute path without ..")
        return roots

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token belongs to an access_key_id")
        if self.endpoint and not self.endpoint.startswith(("https://", "http://")):
            raise ValueError("endpoint should begin with https://")
        if self.endpoint and self.endpoint.startswith("http://") and not self.allow_http:
            raise ValueError("a plain http endpoint needs allow_http = true")
        return self


def _split(place: str) -> tuple[str, str]:
    bucket, _, prefix = place.removeprefix(S3).partition("/")
    return bucket, prefix.removesuffix("/")
