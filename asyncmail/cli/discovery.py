"""Installed plugins, found for a verb that tells about them itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from asyncmail.config import Settings
from asyncmail.plugins.manager import PluginManager


@contextmanager
def discovered(settings: Settings) -> Iterator[PluginManager]:
    """A manager that knows what is installed; inside the block its log goes nowhere."""
    log = logging.getLogger("asyncmail")
    nowhere = logging.NullHandler()
    log.addHandler(nowhere)
    try:
        manager = PluginManager(settings.plugins.disabled)
        manager.discover()
        yield manager
    finally:
        log.removeHandler(nowhere)
