"""``asyncmail plugins new``: a package written from the templates in ``asyncmail/scaffold``."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from asyncmail import __version__
from asyncmail.errors import ConfigurationError

KINDS: Final = (
    "validator",
    "filter",
    "attachment",
    "transport",
    "sink",
    "retention",
    "observer",
)
PREFIX = "asyncmail-"

_is_name = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*").fullmatch


def write(name: str, kind: str, parent: Path) -> Path:
    """Write the package into a new folder below ``parent`` and return that folder.

    Raises ``ConfigurationError`` for a name that cannot be one, and if there is such a folder.
    """
    short = name.removeprefix(PREFIX)
    if not _is_name(short):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a plugin",
            hint="lower-case letters, digits and single hyphens, beginning with a letter",
        )
    folder = parent / f"{PREFIX}{short}"
    if folder.exists():
        raise ConfigurationError(f"{folder} exists already", hint="choose another --path or name")
    module = folder.name.replace("-", "_")
    words = {
        "name": short,
        "package": folder.name,
        "module": module,
        "Class": "".join(part.capitalize() for part in short.split("-")),
        "kind": kind,
        "setting": "retention" if kind == "retention" else f"{kind}s",
        "version": ".".join(__version__.split(".")[:2]),
    }
    templates = files("asyncmail") / "scaffold"
    targets = {
        "common/pyproject.toml": "pyproject.toml",
        "common/README.md": "README.md",
        "common/CHANGELOG.md": "CHANGELOG.md",
        "common/py.typed": f"src/{module}/py.typed",
        "common/conftest.py": "tests/conftest.py",
        f"{kind}/plugin.py": f"src/{module}/__init__.py",
        f"{kind}/test_conformance.py": "tests/test_conformance.py",
        f"{kind}/test_in_the_service.py": "tests/test_in_the_service.py",
    }

    def filled(template: str) -> str:
        text = templates.joinpath(f"{template}.tmpl").read_text("utf-8")
        return Template(text).substitute(words)

    words["settings"] = filled(f"{kind}/settings.md").rstrip("\n")
    for template, target in targets.items():
        place = folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(filled(template), "utf-8")
    return folder
