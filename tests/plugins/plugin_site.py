"""Real packages to install for a test, with extensions that the test describes."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from asyncmail.plugins.manager import Kind, PluginManager
from asyncmail.plugins.secrets import SecretRegistry
from asyncmail.testing.clock import ManualClock

HEADER = """
from asyncmail import *
from asyncmail import Offer, hookimpl
from pydantic import SecretBytes, SecretStr

class Nod(Validator):
    async def validate(self, message, account):
        return None

class Post(Transport):
    def __init__(self, context=None):
        self.context = context
    async def send(self, envelope, account, attempt):
        raise NotImplementedError

LOG = []

class Ear(Sink):
    def __init__(self, name="ear", broken=False):
        self.name, self.broken = name, broken
    async def start(self):
        LOG.append("start " + self.name)
        if self.broken:
            raise OSError("no line to hunter2!")
    async def stop(self):
        LOG.append("stop " + self.name)
    async def deliver(self, reports):
        return Ack()
"""

NOD = """
@hookimpl
def asyncmail_validators():
    return [Offer("nod", lambda settings, context: Nod())]
"""

EVERY_KIND = """
class Stamp(Filter):
    async def apply(self, data, message, account):
        return data

class Forever(Retention):
    def cutoff(self, now, account_id):
        return None

class Nowhere(AttachmentSource):
    def handles(self, reference):
        return False
    async def fetch(self, reference, message):
        raise NotImplementedError

class Watcher(Observer):
    async def notice(self, event):
        assert isinstance(event, Event) and event.kind in EventKind

@hookimpl
def asyncmail_validators():
    return [Offer("a-validator", lambda settings, context: Nod())]

@hookimpl
def asyncmail_filters():
    return [Offer("a-filter", lambda settings, context: Stamp())]

@hookimpl
def asyncmail_transports():
    return [Offer("a-transport", lambda settings, context: Post())]

@hookimpl
def asyncmail_sinks():
    return [Offer("a-sink", lambda settings, context: Ear())]

@hookimpl
def asyncmail_retention():
    return [Offer("a-retention", lambda settings, context: Forever())]

@hookimpl
def asyncmail_attachments():
    return [Offer("a-attachment", lambda settings, context: Nowhere())]

@hookimpl
def asyncmail_observers():
    return [Offer("a-observer", lambda settings, context: Watcher())]
"""


class Site:
    """A folder on the import path, to install packages in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules_before = set(sys.modules)

    def install(
        self, package: str, source: str, *, version: str = "1.2", entry: str = "", points: str = ""
    ) -> None:
        """Package and entry point have the same name, unless told otherwise."""
        module = package.replace("-", "_")
        (self.folder / f"{module}.py").write_text(HEADER + textwrap.dedent(source))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        line = points or f"{entry or package} = {module}"
        (info / "entry_points.txt").write_text(f"[asyncmail.v1]\n{line}\n")

    def manager(self, *disabled: str, secrets: SecretRegistry | None = None) -> PluginManager:
        manager = PluginManager(disabled, secrets=secrets)
        manager.discover()
        return manager

    def forget(self) -> None:
        """Let nothing that was imported from here be found by the next test."""
        for name in set(sys.modules) - self._modules_before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(self.folder)):
                del sys.modules[name]


def use(manager: PluginManager, kind: Kind, *names: str, **settings: dict[str, object]) -> object:
    return manager.build({kind: names}, settings, ManualClock())
