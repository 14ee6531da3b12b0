"""``serve`` as a process: its exit codes, its end, and the other verbs against it."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from stub_service import Run

from asyncmail.store import migrations

SERVE = [sys.executable, "-m", "asyncmail", "serve", "--port", "0"]
PATIENCE = 20.0  # seconds, for a machine that is busy with other things


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service of its own process, and its URL as its log tells it."""
    process = subprocess.Popen([*SERVE, *more], cwd=folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    log: list[str] = []
    listening = Event()

    def follow(lines: Iterable[str]) -> None:
        for line in lines:
            log.append(line)
            if "listens on" in line:
                listening.set()
        listening.set()

    follower = Thread(target=follow, args=(process.stderr,))
    follower.start()
    try:
        assert listening.wait(PATIENCE)
        found = re.search(r"listens on (http://[^\s\x1b]+)", "".join(log))
        assert found, "".join(log)
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        follower.join()
        process.stderr.close()


def refusal(folder: Path, *more: str) -> tuple[int, str]:
    """Exit code and standard error of a service that does not start."""
    done = subprocess.run(
        [*SERVE, *more], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_sigterm_ends_the_service_with_0(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_a_network_address_without_token_is_refused(tmp_path: Path) -> None:
    code, stderr = refusal(tmp_path, "--host", "0.0.0.0")
    assert code == 1
    assert "error: [server] host is 0.0.0.0 and no api_token is set" in stderr
    assert "hint: set [server] api_token or API_TOKEN" in stderr
    assert list(tmp_path.iterdir()) == []
    with serving(tmp_path, "--host", "0.0.0.0", "--insecure"):
        pass


def test_a_plugin_that_is_configured_and_missing_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("asyncmail.toml").write_text('[plugins]\nsinks = ["nowhere"]\n')
    code, stderr = refusal(tmp_path)
    assert code == 1
    assert "there is no sink 'nowhere'" in stderr


def test_an_unusable_database_ends_with_3_unless_a_new_one_is_wanted(tmp_path: Path) -> None:
    tmp_path.joinpath("asyncmail.db").write_bytes(b"nothing of ours")
    code, stderr = refusal(tmp_path)
    assert code == 3
    assert "error: database asyncmail.db" in stderr
    assert "--init" in stderr
    with serving(tmp_path, "--init"):
        pass


def test_a_database_held_by_another_process_ends_with_4(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _):
        code, stderr = refusal(tmp_path)
        assert code == 4
        assert f"held by process {process.pid}" in stderr


def test_a_database_of_a_later_release_ends_with_5(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "asyncmail.db", isolation_level=None) as connection:
        connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
        migrations.migrate(connection, migrations.known())
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'min_compatible'")
        connection.execute("INSERT INTO meta VALUES ('database_id', 'x')")
    connection.close()
    assert refusal(tmp_path)[0] == 5


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, url):
        port = url.rpartition(":")[2]
        other = tmp_path / "other"
        other.mkdir()
        code, stderr = refusal(other, "--port", port)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in stderr


def test_the_verbs_do_what_they_say_with_the_real_service(
    run: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path_factory.mktemp("service")) as (_, url):
        host, _, port = url.removeprefix("http://").rpartition(":")
        monkeypatch.setenv("ASYNCMAIL_SERVER__HOST", host)
        monkeypatch.setenv("ASYNCMAIL_SERVER__PORT", port)

        # Nothing listens on the discard port: mail waits, and can be looked at.
        run(*("accounts", "add", "a/b:c"), *("--host", "127.0.0.1", "--port", "9", "--tls", "none"))
        assert run("accounts", "list").stdout.splitlines()[1].startswith("a/b:c")
        assert json.loads(run("accounts", "show", "a/b:c", "--json").stdout)["tls"] == "none"

        result = run(
            "send",
            *("--from", "a@x.example", "--to", "b@y.example"),
            *("--account", "a/b:c", "--id", "m/1"),
        )
        assert result.stdout == "queued 1, rejected 0\n"
        again = run("send", "-", stdin='{"id": "m/1"}\n{"id": "m2"}\n', code=1)
        assert again.stdout.startswith("queued 0, rejected 2\n")

        _wait_for_an_attempt(run)
        assert run("messages", "list", "--active").stdout.splitlines()[1].startswith("m/1")
        assert "a/b:c" in run("messages", "show", "m/1").stdout
        assert json.loads(run("messages", "export").stdout)["id"] == "m/1"
        assert run("messages", "list", "--status", "sent", "--json").stdout == "[]\n"

        run("accounts", "remove", "a/b:c", "--yes")
        assert json.loads(run("accounts", "list", "--json").stdout) == []
        result = run("messages", "delete", "m3", code=1)
        assert "not found" in result.stdout, result.stderr


def _wait_for_an_attempt(run: Run) -> None:
    """Until the account's breaker says that nobody listens there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        (account,) = json.loads(run("accounts", "list", "--json").stdout)
        if account["last_error"]:
            return
    pytest.fail("the account never failed")
