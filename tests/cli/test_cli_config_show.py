"""``config show``: every value with its origin, secrets masked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stub_service import Run

FILE = '[server]\nport = 8025\n[client]\nproxy_sync_password = "hidden"\n'


def test_values_are_shown_with_their_origins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my.toml").write_text(FILE)
    monkeypatch.setenv("API_TOKEN", "hidden")
    lines = [
        line.split() for line in run("config", "show", "--config", "my.toml").stdout.splitlines()
    ]
    assert ["server.port", "8025", "file", "my.toml"] in lines
    assert ["server.api_token", "********", "environment", "API_TOKEN"] in lines
    assert ["delivery.concurrency", "200", "default"] in lines


def test_json_holds_the_same_with_types(run: Run) -> None:
    Path("asyncmail.toml").write_text(FILE)
    stdout = run("config", "show", "--json").stdout
    rows = {row["key"]: row for row in json.loads(stdout)}
    assert rows["server.port"]["value"] == 8025
    assert rows["client.proxy_sync_password"]["value"] == "********"
    assert rows["plugins.sinks"] == {
        "key": "plugins.sinks",
        "value": ["genropy"],
        "origin": "default",
    }


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_secret_is_shown(run: Run, form: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("asyncmail.toml").write_text(FILE)
    monkeypatch.setenv("API_TOKEN", "hidden")
    assert "hidden" not in run("config", "show", *form).output
