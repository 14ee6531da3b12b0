"""The rules of the house: who may import whom, how long a file may be, and that nothing is global."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "asyncmail"
MAX_LINES = 400

# Who may import whom; a name covers all below it. What is not listed here may be imported by nobody.
STRANGER = {"asyncmail", "plugins.interfaces", "plugins.hookspecs", "model", "errors", "clock"}
ALLOWED: dict[str, set[str]] = {
    "": {"errors", "model", "plugins.hookspecs", "plugins.interfaces"},
    "errors": set(),
    "clock": set(),
    "failpoints": set(),
    "secrets": set(),
    "model": {"errors"},
    "outcome": {"model"},
    "addresses": {"model", "errors", "mime"},
    "payload": {"addresses", "model", "errors", "mime"},
    "store": {"model", "clock", "errors", "failpoints"},
    "plugins": {"model", "clock", "errors", "secrets"},
    "mime": {"model", "errors", "clock"},
    "smtp": {
        "model",
        "errors",
        "clock",
        "mime",
        "outcome",
        "plugins.interfaces",
        "failpoints",
    },
    "config": {"model", "errors", "plugins.interfaces"},
    "prometheus": {"model", "errors", "plugins.interfaces"},
    "scheduler": {
        "store.base",
        "plugins",
        "model",
        "mime",
        "prometheus",
        "outcome",
        "payload",
        "clock",
        "errors",
        "failpoints",
    },
    "intake": {
        "store.base",
        "plugins",
        "model",
        "outcome",
        "payload",
        "prometheus",
        "scheduler",
        "clock",
        "errors",
        "failpoints",
    },
    "api": {
        "intake",
        "scheduler",
        "store.base",
        "plugins",
        "model",
        "errors",
        "clock",
        "prometheus",
        "asyncmail",
    },
    "connections": {"api"},
    "builtin": STRANGER | {"smtp"},
}
EVERYTHING = {"app", "server", "cli", "demo", "testing", "__main__", "logs"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


MODULES = list(modules())
each_module = pytest.mark.parametrize(("module", "path"), MODULES, ids=[m for m, _ in MODULES])


def imports(path: Path) -> Iterator[str]:
    """The asyncmail modules a file imports, relative to the package; "asyncmail" for its top."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [node.module or ""]
            if node.module == "asyncmail":
                submodules = {name for name, _ in MODULES}
                names = [
                    f"asyncmail.{a.name}" if a.name in submodules else "asyncmail"
                    for a in node.names
                ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name == "asyncmail":
                yield "asyncmail"
            elif name.startswith("asyncmail."):
                yield name.removeprefix("asyncmail.")


def owner(module: str) -> str:
    return module.split(".")[0]


def may_import(module: str, target: str) -> bool:
    if owner(module) in EVERYTHING or owner(module) == owner(target):
        return True
    return any(target == a or target.startswith(f"{a}.") for a in ALLOWED[owner(module)])


@each_module
def test_a_module_imports_only_what_its_place_allows(module: str, path: Path) -> None:
    assert owner(module) in ALLOWED.keys() | EVERYTHING, "a new part of the house needs its rule"
    wrong = [target for target in imports(path) if not may_import(module, target)]
    assert wrong == []


@each_module
def test_only_the_testing_package_imports_the_testing_package(module: str, path: Path) -> None:
    if owner(module) not in {"testing", "demo"}:
        assert [t for t in imports(path) if owner(t) == "testing"] == []


@each_module
def test_a_file_has_one_idea_and_says_which(module: str, path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "the first line of a module says what lives here"


def test_fastapi_is_known_to_the_api_alone() -> None:
    for module, path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {
                "fastapi",
                "starlette",
            }:
                assert owner(module) == "api", f"{module} imports {node.module}"


@each_module
def test_no_module_keeps_state(module: str, path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Global), f"{module} has a global statement"
