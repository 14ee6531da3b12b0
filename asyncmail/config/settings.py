"""The settings themselves: every section and key with its type, its bounds and its default.

The models check one section at a time; what concerns several sections is in ``checks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from asyncmail.config.values import (
    host_name,
    http_url,
    not_empty,
    parse_list,
    parse_priority,
    positive_timeouts,
    sqlite_path,
    sqlite_url,
    token,
    unique,
    upper,
)
from asyncmail.model import OnUncertain, Priority, Timeouts

Token = Annotated[SecretStr, AfterValidator(token)]
Names = Annotated[tuple[str, ...], BeforeValidator(parse_list), AfterValidator(unique)]
Bytes = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Delays = Annotated[tuple[Seconds, ...], BeforeValidator(parse_list), AfterValidator(not_empty)]
Count = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Base of a section: unknown keys are refused, values never change, errors never show them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSettings(Section):
    """``[server]``: where the REST API listens and who may use it."""

    host: Annotated[str, AfterValidator(host_name)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    api_token: Token = SecretStr("")
    api_token_previous: Token = SecretStr("")
    docs: Literal["on", "token", "off"] = "on"
    max_body_bytes: Bytes = 33_554_432
    shutdown_grace_seconds: Seconds = 30.0

    @property
    def tokens(self) -> tuple[str, ...]:
        """The valid tokens; none means that the API is open."""
        both = (self.api_token.get_secret_value(), self.api_token_previous.get_secret_value())
        return tuple(filter(None, both))

    @model_validator(mode="after")
    def _rotation_needs_two(self) -> Self:
        if self.api_token_previous.get_secret_value() and not self.api_token.get_secret_value():
            raise ValueError(
                "api_token_previous is set without api_token, the token that follows it"
            )
        return self


class StorageSettings(Section):
    """``[storage]``: where messages are kept. Relative paths count from the working folder."""

    url: Annotated[str, AfterValidator(sqlite_url)] = "sqlite:///asyncmail.db"
    key_file: Path = Path("asyncmail.key")
    min_free_bytes: Annotated[int, Field(ge=0)] = 67_108_864
    ballast_bytes: Annotated[int, Field(ge=0)] = 8_388_608
    max_queued: Count = 5_000_000

    @property
    def path(self) -> Path:
        """The SQLite file that ``url`` names."""
        return sqlite_path(self.url)


class SchedulerSettings(Section):
    """``[scheduler]``: whether a new database starts out sending."""

    active: bool = True


class DeliverySettings(Section):
    """``[delivery]``: pace, limits and patience of sending."""

    send_interval_seconds: Seconds = 0.5
    test_mode: bool = False
    default_priority: Annotated[Priority, BeforeValidator(parse_priority)] = Priority.MEDIUM
    batch_size_per_account: Count = 50
    delivery_report_retention_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 604_800
    concurrency: Count = 200
    max_connections: Count = 10
    max_inflight_bytes: Bytes = 134_217_728
    max_message_bytes: Bytes = 26_214_400
    retry_delays: Delays = (60, 300, 900, 3600, 7200)
    max_attempts: Count = 64
    max_age_seconds: Seconds = 432_000
    on_uncertain: OnUncertain = OnUncertain.RETRY
    max_uncertain: Annotated[int, Field(ge=0)] = 2
    on_duplicate: Literal["reject", "replace"] = "reject"
    timeouts: Annotated[Timeouts, AfterValidator(positive_timeouts)] = Timeouts()

    @model_validator(mode="after")
    def _largest_message_fits(self) -> Self:
        if self.max_message_bytes > self.max_inflight_bytes:
            raise ValueError("max_message_bytes is larger than max_inflight_bytes")
        return self


class ClientSettings(Section):
    """``[client]``: the application that gets the reports, as the ``genropy`` sink calls it."""

    proxy_sync_url: Annotated[str, AfterValidator(http_url)] = ""
    proxy_sync_user: str = ""
    proxy_sync_password: SecretStr = SecretStr("")
    proxy_sync_token: SecretStr = SecretStr("")
    report_deferrals: bool = False
    sync_timeout_seconds: Seconds = 90.0
    idle_sync_seconds: Seconds = 300.0


class PluginsSettings(Section):
    """``[plugins]``: which extensions are used, in this order. ``tables``: ``[plugins.<name>]`` as
    written; the plugin's own model checks them."""

    validators: Names = ("addresses",)
    filters: Names = ()
    sinks: Names = ("genropy",)
    retention: Names = ("days",)
    transports: Annotated[Names, AfterValidator(not_empty)] = ("smtp",)
    attachments: Names = ("base64",)
    observers: Names = ()
    disabled: Names = ()
    trace: bool = False
    tables: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict, repr=False)


class LoggingSettings(Section):
    """``[logging]``: what is written to standard error, and how."""

    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(upper)
    ] = "INFO"
    format: Literal["console", "json"] = "console"
    delivery_activity: bool = False


class Settings(Section):
    """The whole configuration. ``load_settings`` makes it; tests may build it piece by piece."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    delivery: DeliverySettings = DeliverySettings()
    client: ClientSettings = ClientSettings()
    plugins: PluginsSettings = PluginsSettings()
    logging: LoggingSettings = LoggingSettings()

    _origins: Mapping[str, str] = PrivateAttr(default_factory=lambda: MappingProxyType({}))

    def with_origins(self, origins: Mapping[str, str]) -> Settings:
        """The same settings that know where each value comes from (``server.port`` to words)."""
        copy = self.model_copy()
        copy._origins = MappingProxyType(dict(origins))
        return copy

    def origin(self, key: str) -> str:
        """Where ``server.port`` got its value: ``default``, ``file NAME``, ``environment NAME``,
        ``flag``."""
        return self._origins.get(key, "default")
