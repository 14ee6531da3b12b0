"""Where settings come from: the configuration file, the environment, the flags of a command.

Each source is read into entries: a path such as ``("server", "port")``, the value as written, and the
words that name its origin. What the paths and values mean is ``load``'s business.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as IniError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncmail.errors import ConfigurationError

DEFAULT_FILE = Path("asyncmail.toml")
FILE_VARIABLE = "ASYNCMAIL_CONFIG"
TOKEN_VARIABLE = "API_TOKEN"  # noqa: S105 - the name of a variable
PREFIX = "ASYNCMAIL_"
SEPARATOR = "__"
INI_SUFFIXES = frozenset({".ini", ".cfg", ".conf"})
NESTED = frozenset({("delivery", "timeouts")})  # keys that hold a table of their own


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as a source has it."""

    path: tuple[str, ...]
    value: Any = field(repr=False)
    origin: str


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the one asked for, else ``ASYNCMAIL_CONFIG``, else ``asyncmail.toml`` here."""
    if path is not None:
        return path
    if named := environ.get(FILE_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def read_file(path: Path) -> list[Entry]:
    """TOML, or INI by its suffix. Raises ``ConfigurationError`` if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            f"configuration file {path} cannot be read: {error.strerror}",
            hint="name another one with --config",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"configuration file {path} is not UTF-8: {error}") from error
    try:
        ini = path.suffix.lower() in INI_SUFFIXES
        leaves = list(_ini(text) if ini else _leaves(tomllib.loads(text)))
    except (IniError, ValueError) as error:  # tomllib's and json's errors are ValueErrors
        words = " ".join(str(error).split())
        raise ConfigurationError(
            f"configuration file {path} cannot be understood: {words}"
        ) from error
    return [Entry(keys, value, f"file {path}") for keys, value in leaves]


def read_environment(environ: Mapping[str, str]) -> list[Entry]:
    """``ASYNCMAIL_<SECTION>__<KEY>``, and ``API_TOKEN``, which counts for nothing if it is empty.

    Variables without the double underscore are not ours: Kubernetes makes ``ASYNCMAIL_SERVER_PORT``
    for a service of that name.
    """
    entries = []
    prefixed = f"{PREFIX}SERVER{SEPARATOR}{TOKEN_VARIABLE}"
    if environ.get(TOKEN_VARIABLE) and prefixed not in environ:
        origin = f"environment {TOKEN_VARIABLE}"
        entries.append(Entry(("server", "api_token"), environ[TOKEN_VARIABLE], origin))
    for name in sorted(environ):
        if name.startswith(PREFIX) and SEPARATOR in name:
            path = tuple(name.removeprefix(PREFIX).lower().split(SEPARATOR, 2))
            origin = f"environment {name}"
            try:
                leaves = list(_text_leaves(path, environ[name]))
            except ValueError as error:
                raise ConfigurationError(f"{origin} is not JSON: {error}") from error
            entries += [Entry(keys, value, origin) for keys, value in leaves]
    return entries


def read_flags(flags: Mapping[str, Any]) -> list[Entry]:
    """Options of a command, by dotted key; ``None`` is an option that was not given."""
    return [
        Entry(tuple(key.split(".")), value, "flag")
        for key, value in flags.items()
        if value is not None
    ]


class _Parser(ConfigParser):
    """INI as ConfigParser reads it, with the keys as written and no magic in sections or values."""

    def __init__(self) -> None:
        super().__init__(interpolation=None, default_section="")

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _ini(text: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    parser = _Parser()
    parser.read_string(text)
    for section in parser.sections():
        for key, value in parser.items(section):
            # The ancestor read keys in any case; a plugin's own keys are the plugin's.
            name = key if section.startswith("plugins.") else key.lower()
            yield from _text_leaves((*section.split(".", 1), name), value)


def _text_leaves(path: tuple[str, ...], text: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Text where TOML would have a value: tables, and lists in a plugin's table, are JSON."""
    structured = text.lstrip().startswith(("{", "["))
    in_plugin_table = path[0] == "plugins" and len(path) > 2
    if not structured or not (in_plugin_table or path in NESTED):
        yield path, text
        return
    value = json.loads(text)
    if path in NESTED and isinstance(value, dict):
        yield from (((*path, key), leaf) for key, leaf in value.items())
    else:
        yield path, value


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of every key. Tables inside a plugin's table are values."""
    for section, table in tree.items():
        if not isinstance(table, Mapping):
            yield (section,), table
            continue
        for key, value in table.items():
            nested = section == "plugins" or (section, key) in NESTED
            if nested and isinstance(value, Mapping):
                yield from (((section, key, inner), leaf) for inner, leaf in value.items())
            else:
                yield (section, key), value
