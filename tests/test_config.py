"""What the configuration promises: sources in order, unknown keys named, secrets kept, origins known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from asyncmail.config import (
    InvalidSettings,
    Settings,
    load_settings,
    refuse_open_door,
    shown_settings,
    warnings,
)
from asyncmail.errors import ConfigurationError
from asyncmail.model import OnUncertain, Priority, Timeouts


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts in a folder without configuration and without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_TOKEN", "ASYNCMAIL_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(text: str, name: str = "asyncmail.toml", **more: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(write(name, text), **more)
    return caught.value.problems


# --- sources -------------------------------------------------------------------------------------


def test_without_any_source_the_contracts_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.server.port == 8000
    assert settings.server.tokens == ()
    assert settings.storage.path == Path("asyncmail.db")
    assert settings.delivery.retry_delays == (60, 300, 900, 3600, 7200)
    assert settings.delivery.timeouts == Timeouts()
    assert settings.plugins.sinks == ("genropy",)
    assert settings.origin("server.port") == "default"


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("asyncmail.toml", '[server]\nhost = "127.0.0.2"\nport = 1\n[logging]\nlevel = "debug"\n')
    monkeypatch.setenv("ASYNCMAIL_SERVER__HOST", "127.0.0.3")
    monkeypatch.setenv("ASYNCMAIL_LOGGING__FORMAT", "json")
    settings = load_settings(flags={"server.host": "127.0.0.4", "server.port": None})
    assert (settings.server.host, settings.server.port) == ("127.0.0.4", 1)
    assert (settings.logging.level, settings.logging.format) == ("DEBUG", "json")
    assert settings.origin("server.host") == "flag"
    assert settings.origin("server.port") == "file asyncmail.toml"
    assert settings.origin("logging.format") == "environment ASYNCMAIL_LOGGING__FORMAT"
    assert settings.origin("storage.url") == "default"


def test_the_file_asked_for_beats_the_variable_which_beats_the_working_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("asyncmail.toml", "[server]\nport = 1\n")
    write("variable.toml", "[server]\nport = 2\n")
    write("asked.toml", "[server]\nport = 3\n")
    assert load_settings().server.port == 1
    monkeypatch.setenv("ASYNCMAIL_CONFIG", "variable.toml")
    assert load_settings().server.port == 2
    assert load_settings(Path("asked.toml")).server.port == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.toml", None, "absent.toml cannot be read: No such file"),
        ("a.toml", b"[server\n", "a.toml cannot be understood"),
        ("a.ini", b"port = 1\n", "a.ini cannot be understood"),
        ("a.ini", b"[server]\nport = 1\nport = 2\n", "a.ini cannot be understood"),
        ("a.toml", b"\xff\xfe", "a.toml is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_cause(
    name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(Path(name))
    assert words in str(caught.value)


def test_ini_says_the_same_as_toml() -> None:
    toml = write(
        "a.toml",
        """
        [server]
        port = 8025
        api_token = "50%off"
        [delivery]
        retry_delays = [1, 2.5]
        test_mode = true
        default_priority = "HIGH"
        timeouts = { connect = 5 }
        [plugins]
        sinks = ["genropy", "webhook"]
        disabled = []
        [plugins.files]
        roots = { a = "/srv/a" }
        Label = "x"
        """,
    )
    ini = write(
        "a.ini",
        """
[server]
Port = 8025
api_token = 50%off
[delivery]
retry_delays = 1, 2.5
test_mode = yes
default_priority = 1
timeouts = {"connect": 5}
[plugins]
sinks = ["genropy", "webhook"]
disabled =
[plugins.files]
roots = {"a": "/srv/a"}
Label = x
""",
    )
    settings = load_settings(ini)
    assert settings.model_dump() == load_settings(toml).model_dump()
    assert settings.delivery.default_priority is Priority.HIGH
    assert settings.plugins.tables == {"files": {"roots": {"a": "/srv/a"}, "Label": "x"}}


def test_timeouts_are_overridden_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    write("asyncmail.toml", "[delivery.timeouts]\nconnect = 5\ndot = 9\n")
    monkeypatch.setenv("ASYNCMAIL_DELIVERY__TIMEOUTS__DOT", "7")
    settings = load_settings()
    assert settings.delivery.timeouts == Timeouts(connect=5, dot=7)
    assert (
        settings.origin("delivery.timeouts.dot") == "environment ASYNCMAIL_DELIVERY__TIMEOUTS__DOT"
    )
    assert settings.origin("delivery.timeouts.data") == "default"


def test_the_environment_reaches_lists_and_plugin_tables() -> None:
    environ = {
        "ASYNCMAIL_PLUGINS__SINKS": "genropy, webhook",
        "ASYNCMAIL_PLUGINS__WEBHOOK__URLS": '["https://a"]',
        "ASYNCMAIL_PLUGINS__WEBHOOK__SECRET": "s3cret",
    }
    settings = load_settings(environ=environ)
    assert settings.plugins.sinks == ("genropy", "webhook")
    assert settings.plugins.tables["webhook"] == {"urls": ["https://a"], "secret": "s3cret"}


def test_api_token_is_read_unless_empty_or_said_more_precisely() -> None:
    def token(**environ: str) -> tuple[str, ...]:
        return load_settings(environ=environ).server.tokens

    write("asyncmail.toml", '[server]\napi_token = "file"\n')
    assert token(API_TOKEN="env") == ("env",)
    assert token(API_TOKEN="") == ("file",)
    assert token(API_TOKEN="env", ASYNCMAIL_SERVER__API_TOKEN="precise") == ("precise",)


def test_variables_that_a_container_platform_makes_are_not_ours() -> None:
    environ = {"ASYNCMAIL_SERVER_PORT": "tcp://10.0.0.1:80", "ASYNCMAIL_VERSION": "1"}
    assert load_settings(environ=environ) == Settings()


def test_the_ancestors_names_are_read() -> None:
    settings = load_settings(
        write(
            "a.ini",
            "[storage]\ndb_path = /data/mail.db\n[client]\nclient_sync_url = http://c/sync\n"
            "client_sync_user = u\nclient_sync_password = p\nclient_sync_token = t\n",
        )
    )
    assert settings.storage.url == "sqlite:////data/mail.db"
    assert settings.storage.path == Path("/data/mail.db")
    assert settings.client.proxy_sync_url == "http://c/sync"
    assert settings.client.proxy_sync_user == "u"
    assert settings.client.proxy_sync_password.get_secret_value() == "p"
    assert settings.client.proxy_sync_token.get_secret_value() == "t"
    assert settings.origin("storage.url") == "file a.ini"


def test_two_names_of_one_key_in_one_source_are_refused_and_a_later_source_wins() -> None:
    text = '[storage]\nurl = "sqlite:///a.db"\ndb_path = "b.db"\n'
    assert "are two names of one key" in problems_of(text)[0]
    write("asyncmail.toml", '[storage]\ndb_path = "b.db"\n')
    settings = load_settings(environ={"ASYNCMAIL_STORAGE__URL": "sqlite:///c.db"})
    assert settings.storage.path == Path("c.db")


# --- unknown and wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nprot = 1\n", "unknown key prot in [server]; did you mean port?"),
        ("[sever]\nport = 1\n", "unknown section [sever]; did you mean server?"),
        ("port = 1\n", "unknown key port"),
        ("server = 1\n", "server is a section, written [server]"),
        ("[logging]\nport = 1\n", "unknown key port in [logging]; it belongs in [server]"),
        ("[delivery.timeouts]\ndott = 1\n", "unknown timeout dott; did you mean dot?"),
        ("[delivery.time]\ndot = 1\n", "unknown key time in [delivery]"),
        ("[delivery]\ntimeouts = 5\n", "[delivery] timeouts should be a table"),
        ('[plugins]\nsink = ["a"]\n', "unknown key sink in [plugins]; did you mean sinks?"),
        ("[plugins.sinks]\na = 1\n", "unknown section [plugins.sinks]"),
        ("[plugins]\ntables = 1\n", "unknown key tables in [plugins]"),
        ("[storage]\nlease_seconds = 1\n", "unknown key lease_seconds in [storage]"),
    ],
)
def test_an_unknown_key_is_refused_at_every_level_and_named(text: str, problem: str) -> None:
    (found,) = problems_of(text)
    assert found.startswith(problem)
    assert found.endswith("(file asyncmail.toml)")


def test_an_unknown_variable_and_an_unknown_flag_are_refused_too() -> None:
    problems = problems_of(
        "", environ={"ASYNCMAIL_SERVER__PRT": "1"}, flags={"server.hots": "localhost"}
    )
    assert problems == (
        "unknown key prt in [server]; did you mean port? (environment ASYNCMAIL_SERVER__PRT)",
        "unknown key hots in [server]; did you mean host? (flag)",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[server]\nport = "x"\n', "[server] port should be a valid integer"),
        ("[server]\nport = 65536\n", "[server] port should be less than or equal to 65535"),
        ('[server]\nhost = "http://a"\n', "[server] host should be a host name"),
        ('[server]\nhost = "127.0.0.1:80"\n', "[server] host should be a host name"),
        ('[server]\nhost = ""\n', "[server] host should be a host name"),
        ('[server]\ndocs = "maybe"\n', "[server] docs should be 'on', 'token' or 'off'"),
        ('[server]\napi_token = "a\\n"\n', "[server] api_token should be printable ASCII"),
        ('[server]\napi_token = " a"\n', "[server] api_token has blanks"),
        ('[server]\napi_token_previous = "a"\n', "[server] api_token_previous is set without"),
        (
            "[server]\nshutdown_grace_seconds = 0\n",
            "shutdown_grace_seconds should be greater than 0",
        ),
        (
            '[storage]\nurl = "postgresql://h/d"\n',
            "engine 'postgresql'; this release has only sqlite",
        ),
        ('[storage]\nurl = "asyncmail.db"\n', "[storage] url should be sqlite:///relative.db"),
        ('[storage]\nurl = "sqlite:///"\n', "[storage] url should be sqlite:///relative.db"),
        ('[storage]\nurl = "sqlite:///:memory:"\n', "[storage] url should name a file"),
        ('[storage]\nurl = "sqlite:///a?b"\n', "[storage] url should name a file without options"),
        ("[delivery]\nsend_interval_seconds = nan\n", "send_interval_seconds should be a finite"),
        ('[delivery]\ndefault_priority = "soon"\n', "default_priority should be one of: 0 or imm"),
        ("[delivery]\ndefault_priority = 4\n", "default_priority should be 0, 1, 2 or 3"),
        ("[delivery]\nretry_delays = []\n", "retry_delays should name at least one"),
        ("[delivery]\nretry_delays = [1, -1]\n", "retry_delays 1 should be greater than 0"),
        ('[delivery]\nretry_delays = "[1"\n', "retry_delays is not a JSON list"),
        ("[delivery.timeouts]\ndot = 0\n", "timeouts should be seconds greater than 0: dot"),
        (
            "[delivery]\nmax_message_bytes = 200000000\n",
            "max_message_bytes is larger than max_infl",
        ),
        ('[client]\nproxy_sync_url = "ftp://h/"\n', "proxy_sync_url should be a URL that begins"),
        ('[client]\nproxy_sync_url = "https:///x"\n', "proxy_sync_url should be a URL that begins"),
        ('[client]\nproxy_sync_url = "http://h:x/"\n', "proxy_sync_url is not a URL"),
        ('[client]\nproxy_sync_url = "http://u:s3cret@h/"\n', "should not contain credentials"),
        ('[plugins]\nsinks = ["a", "a"]\n', "[plugins] sinks names a twice"),
        ('[plugins]\nsinks = [""]\n', "[plugins] sinks has an empty name"),
        ("[plugins]\ntransports = []\n", "[plugins] transports should name at least one"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_its_source(text: str, words: str) -> None:
    (problem,) = problems_of(text)
    assert words in problem
    assert "s3cret" not in problem
    assert problem.endswith("(file asyncmail.toml)")


def test_every_problem_is_found_at_once() -> None:
    problems = problems_of(
        '[server]\nprot = 1\nport = "x"\n[client]\nproxy_sync_url = "x"\n[logging]\nlevel = "loud"\n'
    )
    assert len(problems) == 4


def test_what_is_right_beside_what_is_wrong_is_still_known() -> None:
    text = (
        '[server]\napi_token = " a"\napi_token_previous = "b"\nprot = 1\n[plugins]\nsinks = ["x"]\n'
    )
    with pytest.raises(InvalidSettings) as caught:
        load_settings(write("asyncmail.toml", text))
    assert len(caught.value.problems) == 2
    assert caught.value.settings.plugins.sinks == ("x",)
    assert caught.value.settings.server == Settings().server


def test_json_that_is_none_in_a_plugin_table_is_named() -> None:
    with pytest.raises(ConfigurationError, match="ASYNCMAIL_PLUGINS__A__B is not JSON"):
        load_settings(environ={"ASYNCMAIL_PLUGINS__A__B": "[1"})


def test_settings_do_not_change() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.server.port = 1  # type: ignore[misc]


# --- secrets -------------------------------------------------------------------------------------

SECRETS = """
[server]
api_token = "hidden-1"
api_token_previous = "hidden-2"
[client]
proxy_sync_password = "hidden-3"
proxy_sync_token = "hidden-4"
[plugins.webhook]
secret = "hidden-5"
targets = [{ url = "https://user:hidden-6@host/", api_key = "hidden-7" }]
timeout = 5
"""


def test_secrets_show_neither_in_repr_nor_in_the_listing() -> None:
    settings = load_settings(write("a.toml", SECRETS))
    assert settings.server.tokens == ("hidden-1", "hidden-2")
    assert "hidden" not in repr(settings)
    rows = shown_settings(settings)
    assert "hidden" not in repr(rows)
    shown = {row.key: row.value for row in rows}
    assert shown["plugins.webhook.timeout"] == 5
    assert shown["server.api_token"] == "********"


def test_a_wrong_secret_is_not_echoed() -> None:
    assert "hidden" not in problems_of('[server]\napi_token = "hidden\\t"\n')[0]
    assert "hidden" not in problems_of('[client]\nproxy_sync_token = ["hidden"]\n')[0]


def test_the_listing_names_every_key_once_with_its_origin() -> None:
    rows = shown_settings(load_settings(write("a.toml", '[plugins.files]\nroots = { a = "/a" }\n')))
    keys = [row.key for row in rows]
    assert len(keys) == len(set(keys))
    assert {"server.port", "delivery.timeouts.dot", "plugins.files.roots"} <= set(keys)
    origins = {row.key: row.origin for row in rows}
    assert origins["plugins.files.roots"] == "file a.toml"
    assert origins["server.port"] == "default"


# --- together ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "mail.example"])
def test_an_api_open_to_the_network_without_a_token_is_refused(host: str) -> None:
    open_door = load_settings(flags={"server.host": host})
    with pytest.raises(ConfigurationError, match="no api_token is set"):
        refuse_open_door(open_door, insecure=False)
    refuse_open_door(open_door, insecure=True)
    guarded = load_settings(flags={"server.host": host, "server.api_token": "t"})
    refuse_open_door(guarded, insecure=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    refuse_open_door(load_settings(flags={"server.host": host}), insecure=False)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"client.sync_timeout_seconds": 60}, "may take 60 s"),
        ({"client.proxy_sync_token": "t", "client.proxy_sync_user": "u"}, "are not"),
        ({"client.proxy_sync_password": "p"}, "not used without proxy_sync_user"),
        ({"plugins.sinks": ()}, "does not name genropy"),
        ({"client.proxy_sync_url": "http://h/", "client.proxy_sync_token": "t"}, "without https"),
        ({"server.docs": "token"}, "no effect without api_token"),
        ({"server.max_body_bytes": 1000}, "refused with 413"),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(flags: dict[str, Any], words: str) -> None:
    (warning,) = warnings(load_settings(flags={"client.proxy_sync_url": "https://h/"} | flags))
    assert words in warning


def test_the_defaults_warn_of_nothing() -> None:
    assert warnings(load_settings()) == ()
    assert load_settings().delivery.on_uncertain is OnUncertain.RETRY


@pytest.mark.parametrize(
    "text",
    [
        '[server]\napi_token = "t0ken"\n',
        '[client]\nproxy_sync_url = "https://h/"\nproxy_sync_token = "t0ken"\n',
        '[plugins.webhook]\nsecret = "whsec_x"\n',
        '[plugins.redis]\nurl = "redis://me:pw@h/"\n',
    ],
)
def test_a_file_with_secrets_that_everybody_may_read_is_warned_of(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "asyncmail.toml"
    file.write_text(text)
    file.chmod(0o644)
    (warning,) = warnings(load_settings(file, environ={}))
    assert f"{file} holds secrets" in warning
    file.chmod(0o640)
    assert warnings(load_settings(file, environ={})) == ()
    file.write_text("[server]\nport = 25\n[plugins.files]\nmax_bytes = 1\n")
    file.chmod(0o644)
    assert warnings(load_settings(file, environ={})) == ()
