"""The configuration: flag over environment over file over default, checked as a whole, origins kept."""

from __future__ import annotations

from asyncmail.config.checks import InvalidSettings, is_loopback, refuse_open_door, warnings
from asyncmail.config.load import load_settings
from asyncmail.config.settings import (
    ClientSettings,
    DeliverySettings,
    LoggingSettings,
    PluginsSettings,
    SchedulerSettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from asyncmail.config.show import Shown, shown_settings
from asyncmail.config.sources import find_file

__all__ = [
    "ClientSettings",
    "DeliverySettings",
    "InvalidSettings",
    "LoggingSettings",
    "PluginsSettings",
    "SchedulerSettings",
    "ServerSettings",
    "Settings",
    "Shown",
    "StorageSettings",
    "find_file",
    "is_loopback",
    "load_settings",
    "refuse_open_door",
    "shown_settings",
    "warnings",
]
