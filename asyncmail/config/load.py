"""From entries to settings: aliases, precedence, unknown keys, and every problem in words."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asyncmail.config.checks import InvalidSettings
from asyncmail.config.settings import Section, Settings
from asyncmail.config.sources import (
    NESTED,
    Entry,
    find_file,
    read_environment,
    read_file,
    read_flags,
)
from asyncmail.config.values import SQLITE
from asyncmail.model import Timeouts

_SECTIONS: dict[str, type[Section]] = {
    name: info.annotation
    for name, info in Settings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
}
_KEYS = {
    section: [key for key in model.model_fields if (section, key) != ("plugins", "tables")]
    for section, model in _SECTIONS.items()
}
_TIMEOUTS = [f.name for f in fields(Timeouts)]

# Names of the public ancestors, read as well.
_ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("storage", "db_path"): ("storage", "url"),
    **{
        ("client", f"client_sync_{key}"): ("client", f"proxy_sync_{key}")
        for key in ("url", "user", "password", "token")
    },
}


def load_settings(
    path: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read every source and check the whole.

    ``path``: the file asked for (else it is looked for, see ``find_file``). ``flags``: values by dotted
    key, ``{"server.port": 8025}``; ``None`` means not given. ``environ``: ``os.environ`` by default.

    Raises ``ConfigurationError`` if a source cannot be read, ``InvalidSettings`` (one of them) with
    every problem that was found and the settings as they are without what is wrong.
    """
    environ = os.environ if environ is None else environ
    file = find_file(path, environ)
    layers = (
        read_file(file) if file is not None else [],
        read_environment(environ),
        read_flags(flags or {}),
    )
    problems: list[str] = []
    merged: dict[tuple[str, ...], Entry] = {}
    for layer in layers:
        known = [entry for entry in layer if _is_known(entry, problems)]
        merged.update(_without_aliases(known, problems))
    settings = _validated(merged, problems)
    settings = settings.with_origins({".".join(p): entry.origin for p, entry in merged.items()})
    if problems:
        raise InvalidSettings(problems, settings)
    return settings


def _is_known(entry: Entry, problems: list[str]) -> bool:
    problem = _unknown(entry.path)
    if problem:
        problems.append(f"{problem} ({entry.origin})")
    return not problem


def _unknown(path: tuple[str, ...]) -> str:
    """What is wrong with a path, or nothing."""
    section, *rest = path
    if section not in _SECTIONS or not rest:
        if not rest and section in _SECTIONS:
            return f"{section} is a section, written [{section}]"
        what = f"unknown section [{section}]" if rest else f"unknown key {section}"
        return what + _suggestion(section, _SECTIONS)
    key = rest[0]
    if path in NESTED:
        return f"[{section}] {key} should be a table"
    if len(rest) == 1:
        known = key in _KEYS[section] or path in _ALIASES
        return "" if known else f"unknown key {key} in [{section}]" + _suggest_key(section, key)
    if section == "plugins" and key not in _KEYS[section]:
        return ""
    if path[:2] in NESTED:
        name = rest[1]
        return "" if name in _TIMEOUTS else f"unknown timeout {name}" + _suggestion(name, _TIMEOUTS)
    return f"unknown section [{section}.{key}]"


def _suggest_key(section: str, key: str) -> str:
    owners = [name for name, keys in _KEYS.items() if key in keys]
    if owners:
        return f"; it belongs in [{owners[0]}]"
    return _suggestion(key, _KEYS[section])


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _without_aliases(layer: Iterable[Entry], problems: list[str]) -> dict[tuple[str, ...], Entry]:
    """A layer by the contract's own names; two names of one key in one source are a problem."""
    named: dict[tuple[str, ...], Entry] = {}
    written: dict[tuple[str, ...], Entry] = {}
    for entry in layer:
        path = _ALIASES.get(entry.path, entry.path)
        value = entry.value
        if entry.path == ("storage", "db_path") and isinstance(value, str):
            value = SQLITE + value
        if path in named:
            problems.append(
                f"[{path[0]}] {written[path].path[-1]} and {entry.path[-1]} are two names of one"
                f" key; keep {path[-1]} ({entry.origin})"
            )
        named[path] = replace(entry, path=path, value=value)
        written[path] = entry
    return named


def _validated(merged: Mapping[tuple[str, ...], Entry], problems: list[str]) -> Settings:
    """The settings; what is wrong is added to ``problems`` and takes its default."""
    try:
        return Settings.model_validate(_tree(merged))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
    wrong: set[tuple[str, ...]] = set()
    for detail in details:
        loc = tuple(str(part) for part in detail["loc"])
        paths = [path for path in merged if path[: len(loc)] == loc or path == loc[: len(path)]]
        wrong.update(paths)
        problems.append(_problem(loc, detail["msg"], {merged[path].origin for path in paths}))
    # What is found only now follows from what was left out; naming it would mislead.
    return _validated({path: e for path, e in merged.items() if path not in wrong}, [])


def _tree(merged: Mapping[tuple[str, ...], Entry]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, entry in merged.items():
        in_plugin_table = path[0] == "plugins" and len(path) > 2
        place = ("plugins", "tables", *path[1:]) if in_plugin_table else path
        table = tree
        for name in place[:-1]:
            table = table.setdefault(name, {})
        table[place[-1]] = entry.value
    return tree


def _problem(loc: tuple[str, ...], message: str, origins: set[str]) -> str:
    words = message.removeprefix("Value error, ").replace("Input should", "should")
    section, *rest = loc
    where = f" ({', '.join(sorted(origins))})" if origins else ""
    return f"[{section}] {' '.join((*rest, words))}{where}"
