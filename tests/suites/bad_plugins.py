"""The suites run against extensions that misbehave: one pytest run per kind, read back test by test."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from asyncmail.testing.faults import Fault, Moment

HEADER = '''
import base64
import pytest
from asyncmail import *
from asyncmail import Filter, Observer
from asyncmail.builtin.attachments import Inline
from asyncmail.builtin.checks import Checks, ChecksSettings
from asyncmail.builtin.genropy import GenropySettings, GenropySink
from asyncmail.builtin.smtp import SmtpSettings, SmtpTransport
from asyncmail.testing import *
from asyncmail.testing import samples
from asyncmail.testing.faults import Fault, Moment, faulty


class Good:
    """The suite of a good extension; a bad one differs by its fault alone."""

    seconds = 0.5


class GoodValidator(Good, ValidatorSuite):
    def build(settings, context):
        return Checks(settings)
    model = ChecksSettings

    @pytest.fixture
    def rejected(self):
        return [samples.message("local", "root@localhost")]


class Stamp(Filter):
    async def apply(self, data, message, account):
        return f"X-Stamp: {message.id}\\r\\n".encode() + data


class GoodFilter(Good, FilterSuite):
    def build(settings, context):
        return Stamp()
    model = PluginSettings


class GoodAttachmentSource(Good, AttachmentSourceSuite):
    def build(settings, context):
        return Inline()
    model = PluginSettings

    @pytest.fixture
    def present(self):
        return [(samples.reference("base64:" + base64.b64encode(c).decode()), c) for c in (b"a", b"b")]

    @pytest.fixture
    def missing(self):
        return samples.reference("base64:?")


class GoodTransport(Good, TransportSuite):
    def build(settings, context):
        return SmtpTransport(settings, context)
    model = SmtpSettings


class GoodSink(Good, SinkSuite):
    def build(settings, context):
        return GenropySink(settings, context)
    model = GenropySettings

    @pytest.fixture
    def settings(self, receiver):
        return {"proxy_sync_url": receiver.url}


class Archive(Retention):
    broken = False

    def cutoff(self, now, account_id):
        return now - 60

    async def release(self, records):
        if self.broken:
            raise OSError("no space left")
        return [record.id for record in records]


class GoodRetention(Good, RetentionSuite):
    def build(settings, context):
        return Archive()
    model = PluginSettings

    async def break_destination(self, extension):
        getattr(extension, "inner", extension).broken = True


class Notes(Observer):
    def __init__(self):
        self.ids = []

    async def notice(self, event):
        self.ids.append(event.id)


class GoodObserver(Good, ObserverSuite):
    def build(settings, context):
        return Notes()
    model = PluginSettings

    async def noticed(self, extension):
        return getattr(extension, "inner", extension).ids


def bad(suite, fault, at):
    make = lambda settings, context: faulty(vars(suite)["build"](settings, context), fault, at=at)
    return Offer("bad", make, suite.model)


def good(suite):
    return Offer("good", vars(suite)["build"], suite.model)
'''

Case = tuple[str, Fault, Moment, str]  # suite, fault, moment, the test that has to notice


def run_suites(folder: Path, source: str, *chosen: str) -> dict[str, str]:
    """Run what the source has (or only these tests of it); what each failure says, "" for a pass."""
    module = folder / "test_it.py"
    module.write_text(HEADER + textwrap.dedent(source))
    report = folder / "report.xml"
    nodes = [f"{module}::{one}" for one in chosen] or [str(module)]
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={folder}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *nodes],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if not report.exists():
        raise AssertionError(run.stdout + run.stderr)
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failures = [f.get("message", "") for f in case if f.tag in ("failure", "error")]
        if any(element.tag == "skipped" for element in case):
            failures = ["(skipped)"]
        place = case.get("classname", "").rpartition(".")[2]
        found[f"{place}::{case.get('name')}"] = " | ".join(failures)
    if not found:
        raise AssertionError(run.stdout + run.stderr)
    return found


def class_of(fault: Fault, at: Moment) -> str:
    return f"Test_{fault.name}_{at.name}"


def bad_suites(suite: str, cases: Iterable[Case]) -> str:
    """The source with a class for each of the cases."""
    classes = {(fault, at) for _, fault, at, _ in cases}
    return "\n".join(
        f"class {class_of(fault, at)}({suite}):\n"
        f"    offer = bad({suite}, Fault.{fault.name}, Moment.{at.name})\n"
        for fault, at in sorted(classes)
    )
