"""Which part of the package talks to a broker, and what to install where its library is missing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from asyncmail.errors import PluginError
from asyncmail_streams.link import Link


def link_class(broker: str) -> Callable[[Any], Link]:
    """Raises ``PluginError`` that names the extra to install."""
    try:
        module = import_module(f"asyncmail_streams.{broker}_link")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("asyncmail_streams"):
            raise
        raise PluginError(
            f"the sink '{broker}' needs the package '{error.name}', which is not installed",
            hint=f"pip install 'asyncmail-streams[{broker}]'",
        ) from None
    found: Callable[[Any], Link] = module.LINK
    return found
