"""The kit's service under the short names of these tests, and plugins that a test writes itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from service_plugins import Install, installing

from asyncmail.testing import FaultSMTP, ReportReceiver
from asyncmail.testing.running import RunningService, StartService


@pytest.fixture
def smtp(smtp_server: FaultSMTP) -> FaultSMTP:
    return smtp_server


@pytest.fixture
def receiver(report_server: ReportReceiver) -> ReportReceiver:
    return report_server


@pytest.fixture
def start(start_service: StartService) -> StartService:
    return start_service


@pytest.fixture
def app(service: RunningService) -> RunningService:
    """A service with the account ``shop``."""
    return service


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    with installing(tmp_path / "site", monkeypatch) as install:
        yield install
