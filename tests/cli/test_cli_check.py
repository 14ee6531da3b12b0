"""``check`` and ``plugins``: what would keep the service from starting, all of it at once."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from stub_service import Run

from asyncmail.store import migrations

BROKEN = "raise ImportError('libfoo is missing')"
TRANSPORT = """
from asyncmail import Offer, Transport, hookimpl

class Pigeon(Transport):
    async def send(self, envelope, account, attempt):
        raise NotImplementedError

@hookimpl
def asyncmail_transports():
    return [Offer("pigeon", lambda settings, context: Pigeon())]
"""
SINK = """
from asyncmail import Offer, PluginSettings, Sink, hookimpl

class Settings(PluginSettings):
    url: str

class Webhook(Sink):
    async def deliver(self, reports):
        raise NotImplementedError

@hookimpl
def asyncmail_sinks():
    return [Offer("errand", lambda settings, context: Webhook(), Settings)]
"""


@pytest.fixture(autouse=True)
def _free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 0: what else runs on this machine is of no matter."""
    monkeypatch.setenv("ASYNCMAIL_SERVER__PORT", "0")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> None:
    """A plugin as a package manager would leave it: a module and its metadata."""
    folder.joinpath(f"{name}_plugin.py").write_text(source)
    info = folder / f"asyncmail_{name}-1.2.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: asyncmail-{name}\nVersion: 1.2\n"
    )
    info.joinpath("entry_points.txt").write_text(f"[asyncmail.v1]\n{name} = {name}_plugin\n")
    monkeypatch.syspath_prepend(str(folder))


def database(path: Path, *, min_compatible: int = 1) -> None:
    """A database as this release makes it, or as a later one may."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
    migrations.migrate(connection, migrations.known())
    connection.execute("UPDATE meta SET value = ? WHERE name = 'min_compatible'", (min_compatible,))
    connection.close()


def keys(path: Path, mode: int = 0o600) -> None:
    path.write_text(f"k1 {'A' * 43}=\n")
    path.chmod(mode)


def test_the_defaults_are_ok_and_nothing_is_made(run: Run) -> None:
    assert run("check").stdout == "ok\n"
    assert os.listdir() == []


def test_a_good_installation_is_ok_and_stays_as_it_is(run: Run) -> None:
    database(Path("asyncmail.db"))
    keys(Path("asyncmail.key"))
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    assert run("check").stdout == "ok\n"
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


def test_everything_wrong_is_found_at_once(run: Run) -> None:
    Path("asyncmail.db").write_bytes(b"no database at all")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        Path("my.toml").write_text(
            f"""
            [server]
            prot = 1
            [client]
            proxy_sync_url = "not a url"
            [plugins]
            validators = ["addresses", "nobody"]
            sinks = ["nowhere"]
            [plugins.fils]
            roots = []
            [delivery]
            port = {port}
            """
        )
        environ = {"ASYNCMAIL_SERVER__PORT": str(port)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(*environ.popitem())
            stdout = run("check", "--config", "my.toml", code=1).stdout
    for words in (
        "unknown key prot in [server]; did you mean port?",
        "unknown key port in [delivery]; it belongs in [server]",
        "[client] proxy_sync_url should be a URL",
        "there is no validator 'nobody'",
        "there is no sink 'nowhere'",
        "[plugins.fils]: no plugin offers anything called 'fils'",
        "database asyncmail.db: file is not a database",
        "key file asyncmail.key is missing, but database asyncmail.db is there",
        f"[server] cannot listen on 127.0.0.1:{port}: Address already in use",
    ):
        assert words in stdout
    assert len(stdout.splitlines()) == 9


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "the file is empty"), (b"x" * 4096, "file is not a database")],
)
def test_an_unreadable_database_is_named(run: Run, content: bytes, words: str) -> None:
    Path("asyncmail.db").write_bytes(content)
    keys(Path("asyncmail.key"))
    assert run("check", code=1).stdout == f"database asyncmail.db: {words}\n"


def test_a_database_that_is_damaged_of_another_program_or_too_new_is_named(run: Run) -> None:
    keys(Path("asyncmail.key"))
    database(Path("asyncmail.db"), min_compatible=99)
    assert "has schema version 1, this release reads up to" in run("check", code=1).stdout
    Path("asyncmail.db").unlink()
    with sqlite3.connect("asyncmail.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    assert "a database of another program" in run("check", code=1).stdout
    Path("asyncmail.db").unlink()
    database(Path("asyncmail.db"))
    data = bytearray(Path("asyncmail.db").read_bytes())
    data[4096:8192] = b"\xff" * 4096
    Path("asyncmail.db").write_bytes(data)
    assert "database asyncmail.db: " in run("check", code=1).stdout


def test_a_database_that_is_gone_is_named(run: Run) -> None:
    Path("asyncmail.db.lock").write_text("{}")
    assert "database asyncmail.db is gone" in run("check", code=1).stdout


def test_folders_that_are_not_there_are_named(run: Run) -> None:
    Path("asyncmail.toml").write_text(
        '[storage]\nurl = "sqlite:///nowhere/a.db"\nkey_file = "nowhere/a.key"\n'
    )
    stdout = run("check", code=1).stdout
    assert "database nowhere/a.db: there is no folder nowhere" in stdout
    assert "key file nowhere/a.key: there is no folder nowhere" in stdout


def test_a_key_file_that_others_can_read_is_named(run: Run) -> None:
    keys(Path("asyncmail.key"), mode=0o644)
    assert "may be read by others (mode 644)" in run("check", code=1).stdout


def test_an_address_that_is_not_of_this_machine_is_named(run: Run) -> None:
    Path("asyncmail.toml").write_text('[server]\nhost = "192.0.2.1"\napi_token = "t"\n')
    assert "cannot listen on 192.0.2.1:0" in run("check", code=1).stdout


def test_an_open_door_is_a_fault_unless_it_is_wanted(run: Run) -> None:
    Path("asyncmail.toml").write_text('[server]\nhost = "0.0.0.0"\n')
    assert "no api_token is set" in run("check", code=1).stdout
    assert run("check", "--insecure").stdout == "ok\n"


def test_a_file_that_cannot_be_understood_ends_the_check(run: Run) -> None:
    Path("asyncmail.toml").write_text("[server\n")
    assert "cannot be understood" in run("check", code=1).stderr


def test_json_tells_faults_and_warnings(run: Run) -> None:
    Path("asyncmail.toml").write_text('[server]\ndocs = "token"\n[plugins]\nsinks = ["x"]\n')
    result = json.loads(run("check", "--json", code=1).stdout)
    assert result["ok"] is False
    assert len(result["faults"]) == 1
    assert result["warnings"] == ['[server] docs = "token" has no effect without api_token']


# --- plugins -------------------------------------------------------------------------------------


def test_the_built_in_plugins_are_listed_as_what_they_are(run: Run) -> None:
    found = json.loads(run("plugins", "--json").stdout)
    listed = [plugin for plugin in found if plugin["package"] == "asyncmail"]
    offers = {kind: names for plugin in listed for kind, names in plugin["kinds"].items()}
    assert offers["transport"] == ["smtp"]
    assert offers["sink"] == ["genropy"]
    assert {plugin["status"] for plugin in listed} == {"loaded"}
    table = run("plugins").stdout
    assert "transport: smtp" in table


def test_a_broken_plugin_is_listed_and_only_a_warning(
    run: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path_factory.mktemp("site")
    install(site, monkeypatch, "broken", BROKEN)
    result = run("check")
    assert result.stdout == "ok\n"
    words = "'broken' (asyncmail-broken 1.2) is not usable: ImportError: libfoo is missing"
    assert words in result.stderr
    process = [sys.executable, "-m", "asyncmail", "check"]
    environ = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(process, capture_output=True, text=True, env=environ)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    (row,) = [line for line in run("plugins").stdout.splitlines() if line.startswith("broken")]
    assert row.split()[:4] == ["broken", "asyncmail-broken", "1.2", "failed"]
    assert "libfoo is missing" in row


def test_a_broken_plugin_that_is_configured_is_a_fault(
    run: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path_factory.mktemp("site"), monkeypatch, "broken", BROKEN)
    Path("asyncmail.toml").write_text('[plugins]\nsinks = ["broken"]\n')
    stdout = run("check", code=1).stdout
    assert "there is no sink 'broken'" in stdout
    assert "asyncmail-broken 1.2" in stdout
    assert "libfoo is missing" in stdout


def test_a_disabled_plugin_is_not_imported(
    run: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path_factory.mktemp("site"), monkeypatch, "broken", BROKEN)
    Path("asyncmail.toml").write_text('[plugins]\ndisabled = ["broken"]\n')
    listed = {p["name"]: p for p in json.loads(run("plugins", "--json").stdout)}
    assert listed["broken"]["status"] == "disabled"
    assert run("check").stderr == ""


def test_the_settings_of_a_plugin_are_checked(
    run: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path_factory.mktemp("site"), monkeypatch, "hook", SINK)
    config = Path("asyncmail.toml")
    config.write_text('[plugins]\nsinks = ["errand"]\n[plugins.errand]\nulr = "x"\n')
    stdout = run("check", code=1).stdout
    assert "[plugins.errand]" in stdout
    assert "ulr" in stdout
    config.write_text('[plugins]\nsinks = ["errand"]\n[plugins.errand]\nurl = "x"\n')
    assert run("check").stdout == "ok\n"


def test_a_fault_of_one_transport_is_told_once(
    run: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path_factory.mktemp("site"), monkeypatch, "pigeon", TRANSPORT)
    Path("asyncmail.toml").write_text(
        '[plugins]\ntransports = ["smtp", "pigeon"]\n[plugins.smtp]\nnonsense = 1\n'
    )
    (fault,) = run("check", code=1).stdout.splitlines()
    assert "[plugins.smtp]" in fault
    assert "nonsense" in fault
