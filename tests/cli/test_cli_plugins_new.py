"""``asyncmail plugins new`` and ``check``: a plugin in a minute, and whether it keeps its promises."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from programs import require_module
from stub_service import Run

from asyncmail.cli import conformance
from asyncmail.cli.scaffold import KINDS
from asyncmail.errors import PluginError
from asyncmail.plugins.kinds import Kind

MINUTE = 60  # seconds, for everything that is done with a new plugin


def install(package: Path, site: Path) -> None:
    """What an installer leaves of an editable package: a path, and the metadata of its project."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    site.mkdir(exist_ok=True)
    ((name, module),) = project["entry-points"]["asyncmail.v1"].items()
    info = site / f"{module}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (info / "entry_points.txt").write_text(f"[asyncmail.v1]\n{name} = {module}\n")


def program(
    folder: Path, *command: str, paths: Sequence[Path] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in a folder, with more on its path."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=MINUTE,
        check=False,
    )


def test_there_is_a_template_for_every_kind() -> None:
    assert set(KINDS) == set(Kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_of_each_kind_is_listed_and_passes_its_tests(
    run: Run, tmp_path: Path, kind: str
) -> None:
    run("plugins", "new", "my-demo", "--kind", kind)
    package, site = tmp_path / "asyncmail-my-demo", tmp_path / "site"
    install(package, site)
    paths = (package / "src", site)
    tests = program(package, "pytest", "-q", "-p", "no:cacheprovider", paths=paths)
    assert tests.returncode == 0, tests.stdout
    listed = program(tmp_path, "asyncmail", "plugins", paths=paths).stdout.splitlines()
    (row,) = [line for line in listed if line.startswith("my-demo ")]
    assert row.split()[1:4] == ["asyncmail-my-demo", "0.1.0", "loaded"]
    assert f"{kind}: my-demo" in row


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_in_good_style(run: Run, tmp_path: Path, kind: str) -> None:
    require_module("ruff")
    run("plugins", "new", "demo", "--kind", kind, "--path", "here")
    package = tmp_path / "here" / "asyncmail-demo"
    rules = ("--isolated", "--line-length=100", "--target-version=py311")
    checked = program(package, "ruff", "check", *rules, "--select=A,B,C4,E,F,I,N,RUF,UP", ".")
    assert checked.returncode == 0, checked.stdout
    formatted = program(package, "ruff", "format", "--check", "--diff", *rules, ".")
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_types_of_what_is_written_are_right(run: Run, tmp_path: Path, kind: str) -> None:
    require_module("mypy")
    run("plugins", "new", "demo", "--kind", kind)
    package = tmp_path / "asyncmail-demo"
    found = program(package, "mypy", "--strict", "src", "tests", paths=[package / "src"])
    assert found.returncode == 0, found.stdout


def test_a_new_plugin_can_be_named_with_or_without_the_prefix(run: Run, tmp_path: Path) -> None:
    run("plugins", "new", "asyncmail-pigeon", "--kind", "transport")
    project = tomllib.loads((tmp_path / "asyncmail-pigeon" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["asyncmail.v1"] == {"pigeon": "asyncmail_pigeon"}


@pytest.mark.parametrize("name", ["", "Demo", "1st", "a_b", "../up", "a--b", "asyncmail-"])
def test_a_name_that_is_none_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    result = run("plugins", "new", name, "--kind", "sink", code=1)
    assert "cannot be the name of a plugin" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_overwritten(run: Run, tmp_path: Path) -> None:
    run("plugins", "new", "demo", "--kind", "sink")
    readme = tmp_path / "asyncmail-demo" / "README.md"
    readme.write_text("mine")
    assert "exists already" in run("plugins", "new", "demo", "--kind", "sink", code=1).stderr
    assert readme.read_text() == "mine"


# --- check ---------------------------------------------------------------------------------------


def test_what_the_configuration_uses_is_checked(run: Run, tmp_path: Path) -> None:
    done = program(tmp_path, "asyncmail", "plugins", "check")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "the plugin's own tests have one" in done.stdout


def test_the_settings_of_the_configuration_are_those_of_the_check(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "asyncmail.toml"
    config.write_text(
        '[plugins]\nsinks = ["genropy"]\n[plugins.genropy]\nproxy_sync_url = "ftp://x"\n'
    )
    done = program(tmp_path, "asyncmail", "plugins", "check", "genropy")
    assert done.returncode == 1
    assert "proxy_sync_url" in done.stdout


def test_a_plugin_that_breaks_a_promise_fails_its_check(run: Run, tmp_path: Path) -> None:
    run("plugins", "new", "demo", "--kind", "observer")
    package, site = tmp_path / "asyncmail-demo", tmp_path / "site"
    install(package, site)
    module = package / "src" / "asyncmail_demo" / "__init__.py"
    module.write_text(
        module.read_text().replace(
            "self._file = settings.file",
            "self._file = settings.file\n        self._kept = open(__file__)",
        )
    )
    (tmp_path / "asyncmail.toml").write_text(
        '[plugins]\nobservers = ["demo"]\n[plugins.demo]\nfile = "events.jsonl"\n'
    )
    paths = (package / "src", site)
    done = program(tmp_path, "asyncmail", "plugins", "check", "asyncmail-demo", paths=paths)
    assert done.returncode == 1, done.stdout
    assert "whatever is opened belongs in start()" in done.stdout
    assert "say --live" in done.stdout
    assert not (tmp_path / "events.jsonl").exists(), "nothing goes out unless --live is said"


def test_with_live_the_tests_reach_the_peer(run: Run, tmp_path: Path) -> None:
    run("plugins", "new", "demo", "--kind", "observer")
    package, site = tmp_path / "asyncmail-demo", tmp_path / "site"
    install(package, site)
    (tmp_path / "asyncmail.toml").write_text(
        '[plugins]\nobservers = ["demo"]\n[plugins.demo]\nfile = "events.jsonl"\n'
    )
    paths = (package / "src", site)
    done = program(tmp_path, "asyncmail", "plugins", "check", "demo", "--live", paths=paths)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "events.jsonl").read_text().count("\n") > 200


def test_a_plugin_that_is_not_there_cannot_be_checked(run: Run) -> None:
    assert (
        "nothing that is installed is called 'nowhere'"
        in run("plugins", "check", "nowhere", code=1).stderr
    )


def test_without_pytest_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'asyncmail\[testing\]'"):
        conformance.run_suites(None, None, live=False, to=None)
