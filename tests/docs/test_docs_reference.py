"""The reference pages name everything there is, and nothing that is not there."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import doc_pages
import pytest
from pydantic import BaseModel

from asyncmail.api import AccountPayload, AttachmentPayload, MessagePayload
from asyncmail.api.schemas import AttemptView, MessageView, PluginView, RecipientView, ReportView
from asyncmail.app import running
from asyncmail.cli import cli
from asyncmail.cli.failures import EXIT_CODES
from asyncmail.config import Settings, StorageSettings, load_settings, shown_settings
from asyncmail.model import Event, EventKind
from asyncmail.plugins import hookspecs, interfaces
from asyncmail.prometheus import MailMetrics

# --- configuration -------------------------------------------------------------------------------


def documented_keys() -> dict[str, str]:
    """``section.key`` to its default, as the page has it (TOML)."""
    return {
        f"{title.strip('[]')}.{row[0].strip('`')}": row[2].strip("`")
        for title, text in doc_pages.sections(doc_pages.page("configuration"), 2).items()
        if title.startswith("[")
        for row in doc_pages.rows(text)
        if len(row) == 4 and row[0] != "key"
    }


def test_each_configuration_key_is_documented_with_its_default() -> None:
    shown = {row.key: row.value for row in shown_settings(Settings())}
    documented = {key: text for key, text in documented_keys().items() if text}
    assert documented.keys() == shown.keys()
    for key, text in documented.items():
        assert tomllib.loads(f"x = {text}")["x"] == shown[key], key


def test_the_page_says_how_each_key_is_named_in_the_environment() -> None:
    examples = re.findall(r"export (\w+)=(\S+)", doc_pages.page("configuration"))
    for example in examples:
        settings = load_settings(Path("/dev/null"), environ=dict([example]))
        assert settings.model_dump() != Settings().model_dump(), example
    assert examples


def test_each_other_name_of_a_key_is_read() -> None:
    text = doc_pages.sections(doc_pages.page("configuration"), 3)["Names of the ancestors"]
    others = re.findall(r"^\| `\[(\w+)\] (\w+)` \|", text, re.MULTILINE)
    assert len(others) == 5
    for section, key in others:
        value = "http://x.example" if key.endswith("url") else "mail.db"
        settings = load_settings(Path("/dev/null"), flags={f"{section}.{key}": value}, environ={})
        assert settings.model_dump() != Settings().model_dump()


# --- plugins -------------------------------------------------------------------------------------


def signature(function: object) -> str:
    """``async def validate(self, message: Message) -> None``, as the source has it."""
    node = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))).body[0]  # type: ignore[arg-type]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    node.body, node.decorator_list = [ast.Expr(ast.Constant(...))], []
    return ast.unparse(node).partition(":\n")[0]


def hook_functions() -> Iterator[object]:
    for name, function in vars(hookspecs).items():
        if name.startswith("asyncmail_"):
            yield function


def methods() -> Iterator[object]:
    for kind in (*interfaces.Extension.__subclasses__(), interfaces.Extension):
        for name, function in vars(kind).items():
            if inspect.isfunction(function) and not name.startswith("_"):
                yield function
    for name in ("begin", "before_dot", "progress"):
        yield getattr(interfaces.Attempt, name)
    yield interfaces.Context.transport


@pytest.mark.parametrize("function", [*hook_functions(), *methods()], ids=signature)
def test_each_hook_and_method_is_documented_with_its_exact_signature(function: object) -> None:
    assert f"\n{signature(function)}: ...\n" in doc_pages.page("hooks")


def offers() -> Iterator[tuple[str, type[BaseModel]]]:
    """What the built-in plugins, and those of the repository that are installed, offer."""
    for point in metadata.entry_points(group=hookspecs.ENTRY_POINT_GROUP):
        if point.dist and point.dist.name.split("-")[0] == "asyncmail":
            for name, hook in vars(point.load()).items():
                if name.startswith("asyncmail_"):
                    for offer in hook():
                        yield offer.name, offer.settings


@pytest.mark.parametrize(("name", "settings"), list(offers()), ids=[n for n, _ in offers()])
def test_each_extension_is_documented_with_each_of_its_settings(
    name: str, settings: type[BaseModel]
) -> None:
    text = doc_pages.sections(doc_pages.page("hooks"), 3)[name]
    assert doc_pages.names(text) == settings.model_fields.keys()


def test_each_built_in_plugin_was_looked_at() -> None:
    found = {name for name, _ in offers()}
    assert found >= {"addresses", "smtp", "genropy", "days", "base64", "files", "https"}


# --- metrics -------------------------------------------------------------------------------------


def test_each_metric_is_documented_with_its_labels() -> None:
    there_are = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type): {
            *getattr(family, "_labelnames", ())
        }
        for family in MailMetrics().collect()
    }
    documented = {}
    for row in doc_pages.rows(doc_pages.page("metrics")):
        match = re.fullmatch(r"`(asyncmail_\w+)(?:\{(.+)\})?`", row[0])
        if match:
            labels = match[2].split(",") if match[2] else []
            documented[match[1], row[1]] = {*labels}
    assert documented == there_are


def test_each_alert_is_documented() -> None:
    rules = (doc_pages.ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    text = doc_pages.sections(doc_pages.page("metrics"), 2)["Alert rules"]
    assert doc_pages.names(text) == alerts


# --- REST API ------------------------------------------------------------------------------------


@pytest.fixture
async def document(tmp_path: Path) -> dict[str, Any]:
    """The OpenAPI document of a real service."""
    storage = StorageSettings(
        url=f"sqlite:///{tmp_path / 'mail.db'}", key_file=tmp_path / "key", min_free_bytes=0
    )
    async with running(Settings(storage=storage)) as service:
        openapi: dict[str, Any] = service.api.openapi()  # type: ignore[attr-defined]
    return openapi


async def test_each_endpoint_is_documented_and_no_other(document: dict[str, Any]) -> None:
    there_are = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    text = doc_pages.page("rest-api")
    titles = doc_pages.sections(text, 3)
    assert {title for title in titles if "/" in title} == there_are


async def test_each_status_and_parameter_is_documented(document: dict[str, Any]) -> None:
    text = doc_pages.page("rest-api")
    operations = [one for path in document["paths"].values() for one in path.values()]
    statuses = {status for one in operations for status in one["responses"]} - {"200"}
    table = doc_pages.sections(text, 2)["Errors"]
    assert statuses <= {row[0] for row in doc_pages.rows(table)}
    listing = next(one for one in operations if one["operationId"] == "list_messages")
    names = {parameter["name"] for parameter in listing["parameters"]}
    assert names <= doc_pages.names(doc_pages.sections(text, 3)["GET /messages"])


def wire_names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize(
    ("level", "title", "model"),
    [
        (4, "A message", MessagePayload),
        (4, "An attachment", AttachmentPayload),
        (3, "POST /account", AccountPayload),
        (3, "GET /messages", MessageView),
    ],
)
def test_each_field_is_documented(level: int, title: str, model: type[BaseModel]) -> None:
    section = doc_pages.sections(doc_pages.page("rest-api"), level)[title]
    assert wire_names(model) - doc_pages.names(section) == set()


@pytest.mark.parametrize("model", [AttemptView, RecipientView, ReportView, PluginView])
def test_each_key_of_a_reply_is_documented(model: type[BaseModel]) -> None:
    titles = doc_pages.sections(doc_pages.page("rest-api"), 3)
    text = titles["GET /messages/{message_id}"] + titles["GET /plugins"]
    assert {name for name in model.model_fields if f"`{name}`" not in text} == set()


# --- command line --------------------------------------------------------------------------------


def verbs(
    command: click.Command = cli, path: str = "asyncmail"
) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from verbs(inner, f"{path} {name}")


def test_each_verb_is_documented_with_its_options_and_no_other() -> None:
    sections = doc_pages.sections(doc_pages.page("cli"), 2)
    titles = {re.sub(r" (\[|[A-Z]).*", "", title): text for title, text in sections.items()}
    documented = {
        title: {name for name in doc_pages.names(text) if name.startswith("--")}
        for title, text in titles.items()
        if title.startswith("asyncmail ")
    }
    there_are = {
        path: {
            option
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for option in parameter.opts
        }
        for path, command in verbs()
    }
    assert documented == there_are


def test_each_exit_code_is_documented() -> None:
    table = doc_pages.sections(doc_pages.page("cli"), 2)["Exit codes"]
    documented = {row[0] for row in doc_pages.rows(table)}
    assert {str(code) for code in EXIT_CODES} <= documented


# --- guarantees ----------------------------------------------------------------------------------


def test_each_guarantee_names_tests_that_are_there() -> None:
    paragraphs = [p for p in doc_pages.page("guarantees").split("\n\n") if p.startswith("**G")]
    numbers = [int(paragraph[3:].partition(" ")[0]) for paragraph in paragraphs]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 20
    for paragraph in paragraphs:
        paths = re.findall(r"`(tests/[\w/]+\.py)`", paragraph)
        assert paths, paragraph
        for path in paths:
            assert (doc_pages.ROOT / path).is_file(), path


def test_each_defence_of_the_security_page_names_tests_that_are_there() -> None:
    table = doc_pages.sections(doc_pages.page("security"), 2)["What is defended, and how"]
    defences = [row for row in doc_pages.rows(table) if row[0] != "threat"]
    assert len(defences) > 15
    for threat, _, tests in defences:
        paths = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert paths, threat
        for path in paths:
            assert (doc_pages.ROOT / path).is_file(), path


def test_json_of_the_reports_page_has_the_keys_that_are_sent() -> None:
    block = next(b for b in doc_pages.blocks("json") if b.page == "reports.md")
    text = doc_pages.sections(doc_pages.page("reports"), 2)["The call"]
    for entry in json.loads(block.text)["delivery_report"]:
        assert entry.keys() == doc_pages.names(text)


def test_each_event_is_documented_with_its_fields() -> None:
    text = doc_pages.sections(doc_pages.page("hooks"), 2)["Observer"]
    assert {kind.value for kind in EventKind} <= doc_pages.names(text)
    assert {
        field.name for field in dataclasses.fields(Event) if f"`{field.name}`" not in text
    } == set()


# --- faults --------------------------------------------------------------------------------------


def injected_faults(source: str) -> Iterator[str]:
    """The arguments of ``mark.fault(...)`` in a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.fault"):
            for argument in node.args:
                assert isinstance(argument, ast.Constant), "a fault's name is written out"
                yield str(argument.value)


def test_the_faults_of_the_page_are_those_that_tests_inject() -> None:
    root = doc_pages.ROOT
    files = [*root.glob("tests/**/test_*.py"), *root.glob("plugins/*/tests/**/test_*.py")]
    sources = [path.read_text("utf-8") for path in files]
    injected = {name for s in sources if "mark.fault(" in s for name in injected_faults(s)}
    described = doc_pages.names(doc_pages.page("faults"))
    assert injected == described
    assert [n for n in described if not re.fullmatch(r"[a-z]+\.[a-z0-9_]+", n)] == []
