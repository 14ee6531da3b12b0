"""The settings of the policy, ``[plugins.archive]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from asyncmail import PluginSettings

WEEK = 7 * 86400.0
S3 = "s3://"

_is_bucket = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]").fullmatch

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ArchiveSettings(PluginSettings):
    """``[plugins.archive]``; times in seconds, counted from when a result was reported.

    ``to``: an absolute folder, or ``s3://bucket/prefix``. ``seconds``: how long messages are kept;
    ``accounts`` have times of their own in its place, ``tags`` may only make it longer.
    ``hold_accounts``, ``hold_tags``: never deleted. ``endpoint``: of an S3-compatible service;
    ``timeout_seconds``: of one archiving, all its objects together.
    """

    to: str
    seconds: Seconds = WEEK
    accounts: Mapping[str, Seconds] = Field(default_factory=dict)
    tags: Mapping[str, Seconds] = Field(default_factory=dict)
    hold_accounts: frozenset[str] = frozenset()
    hold_tags: frozenset[str] = frozenset()
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    allow_http: bool = False
    timeout_seconds: float = Field(50.0, gt=0, le=55)

    @property
    def folder(self) -> Path | None:
        """Where to archive to, if that is on this machine."""
        return None if self.to.startswith(S3) else Path(self.to)

    @property
    def bucket(self) -> tuple[str, str]:
        """The bucket and the prefix in it, which may be empty, if the archive is on S3."""
        bucket, _, prefix = self.to.removeprefix(S3).partition("/")
        return bucket, prefix.strip("/")

    @field_validator("to")
    @classmethod
    def _is_a_place(cls, to: str) -> str:
        if to.startswith(S3):
            bucket, _, prefix = to.removeprefix(S3).partition("/")
            if not _is_bucket(bucket):
                raise ValueError("should name a bucket: s3://bucket/prefix")
            steps = prefix.strip("/").split("/") if prefix.strip("/") else []
        else:
            if not to.startswith("/"):
                raise ValueError("should be an absolute folder or s3://bucket/prefix")
            steps = [step for step in to.split("/") if step]
        if not {"", ".", ".."}.isdisjoint(steps):
            raise ValueError("should be a plain path, without empty steps, . and ..")
        return to

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
