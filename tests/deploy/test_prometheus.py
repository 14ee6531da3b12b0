"""The alert rules and the example configuration do what they say, as Prometheus itself sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from programs import require_program
from rendered import metrics_in, rendered_names

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = (FOLDER / "alerts.yml").read_text()
RULE_TESTS = (FOLDER / "alerts_test.yml").read_text()
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES, re.MULTILINE)


@pytest.fixture
def promtool() -> str:
    return require_program("promtool", "prometheus")


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_well_formed(promtool: str) -> None:
    run(promtool, "check", "rules", "alerts.yml", cwd=FOLDER)


def test_each_alert_fires_when_it_should_and_only_then(promtool: str) -> None:
    run(promtool, "test", "rules", "alerts_test.yml", cwd=FOLDER)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_firing_and_silent(alert: str) -> None:
    fires = re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", RULE_TESTS)
    silent = re.search(rf"alertname: {alert}, exp_alerts: \[\]", RULE_TESTS)
    assert fires
    assert silent


def test_there_is_an_alert_for_all_that_an_operator_must_know() -> None:
    assert {
        "AsyncmailBacklogOld",
        "AsyncmailErrorRateHigh",
        "AsyncmailReportsLate",
        "AsyncmailBreakerOpen",
        "AsyncmailPluginDown",
        "AsyncmailDiskLow",
    } <= set(ALERTS)


async def test_the_rules_name_only_metrics_that_exist() -> None:
    named = metrics_in(RULES)
    assert len(named) > 8
    assert named <= await rendered_names()


def test_the_example_configuration_is_accepted(promtool: str, tmp_path: Path) -> None:
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "asyncmail.token").write_text("secret")
    run(promtool, "check", "config", "prometheus.yml", cwd=tmp_path)
