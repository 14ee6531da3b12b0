"""``asyncmail plugins check``: the suites of ``asyncmail.testing``, run by pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncmail.errors import PluginError
from asyncmail.plugins.manager import PluginInfo

Offers = list[tuple[str, str]]  # kind, name

_MODULE = """from asyncmail.testing.check import suites

globals().update(suites({config!r}, {offers!r}, live={live!r}, to={to!r}))
"""


def run_suites(name: str | None, config: Path | None, *, live: bool, to: str | None) -> bool:
    """Whether all promises are kept; what pytest has to say goes to the terminal."""
    if find_spec("pytest") is None:
        raise PluginError(
            "the suites are run by pytest, which is not installed here",
            hint="pip install 'asyncmail[testing]'",
        )
    offers = _chosen(name, config)
    with TemporaryDirectory(prefix="asyncmail-check-") as folder:
        module = Path(folder, "test_plugins.py")
        place = str(config) if config else None
        module.write_text(_MODULE.format(config=place, offers=offers, live=live, to=to))
        options = ("-q", "-rs", "-c", os.devnull, f"--rootdir={folder}", "-p", "no:cacheprovider")
        command = [sys.executable, "-m", "pytest", *options, str(module)]
        return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - our own words


def _chosen(name: str | None, config: Path | None) -> Offers:
    """What is to be checked: what the name stands for, as far as it is configured, or all of it."""
    from asyncmail.app import chosen_plugins
    from asyncmail.cli.discovery import discovered
    from asyncmail.config import load_settings

    settings = load_settings(config)
    configured = [(str(k), n) for k, names in chosen_plugins(settings).items() for n in names]
    if name is None:
        return configured
    with discovered(settings) as manager:
        offers = _meant(name, manager.listing())
    return [offer for offer in offers if offer in configured] or offers


def _meant(name: str, listing: Sequence[PluginInfo]) -> Offers:
    """All offers of a plugin or a package, or the offers of that name."""
    plugins = [plugin for plugin in listing if name in (plugin.name, plugin.package)]
    for plugin in plugins:
        if plugin.error:
            raise PluginError(
                f"plugin '{plugin.name}' ({plugin.package} {plugin.version}) is not usable:"
                f" {plugin.error}"
            )
    offered = [(kind, one) for p in listing for kind, names in p.kinds.items() for one in names]
    of_plugins = [(kind, one) for p in plugins for kind, names in p.kinds.items() for one in names]
    found = of_plugins or [offer for offer in offered if offer[1] == name]
    if not found:
        raise PluginError(
            f"nothing that is installed is called '{name}'", hint="see `asyncmail plugins`"
        )
    return found
