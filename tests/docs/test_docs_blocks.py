"""What the documentation shows works: code compiles, configurations load, commands parse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import doc_pages
import pytest
from doc_pages import Block

from asyncmail.config import load_settings
from asyncmail.demo import Tally

ROOT = doc_pages.ROOT


def each(*languages: str) -> pytest.MarkDecorator:
    found = doc_pages.blocks(*languages)
    assert found, f"no block of {languages}"
    return pytest.mark.parametrize("block", found, ids=str)


@each("python")
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize(
    "block", [b for b in doc_pages.blocks("python") if b.mark == "test: run"], ids=str
)
def test_python_that_says_so_runs(block: Block) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", block.text], check=True, timeout=60)


@each("toml")
def test_toml_parses_and_configurations_load(block: Block, tmp_path: Path) -> None:
    if "project" in tomllib.loads(block.text):
        return
    file = tmp_path / "asyncmail.toml"
    file.write_text(block.text)
    load_settings(file, environ={})


@each("ini")
def test_ini_loads_and_means_what_the_toml_beside_it_means(block: Block, tmp_path: Path) -> None:
    toml = next(b for b in doc_pages.blocks("toml") if b.page == block.page)
    (tmp_path / "a.ini").write_text(block.text)
    (tmp_path / "a.toml").write_text(toml.text)
    ini, same = (load_settings(tmp_path / name, environ={}) for name in ("a.ini", "a.toml"))
    assert ini.model_dump() == same.model_dump()


@each("json")
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


@each("sh")
def test_shell_parses(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text.encode(), check=True, timeout=60)


def test_no_block_is_of_a_kind_that_nobody_checks() -> None:
    kinds = {"python", "toml", "ini", "json", "sh", "text", "yaml", "{toctree}"}
    fences = sum(path.read_text().count("\n```") for path in doc_pages.PAGES)
    assert len(doc_pages.blocks(*kinds)) * 2 == fences


@pytest.mark.parametrize("path", doc_pages.PAGES, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


# --- README --------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text("utf-8")


def test_the_first_screen_is_a_sentence_two_commands_and_what_one_sees() -> None:
    found = [block for block in doc_pages.blocks("sh", "text") if block.page == "README.md"]
    run, test, table = found[:3]
    assert re.fullmatch(r"python3 -m venv \S+ && .*/asyncmail demo --exit\n", run.text)
    assert re.fullmatch(r"python3 -m venv .*tox\n", test.text)
    assert table.language == "text"
    assert README.index(table.text) < README.index("**Contents:**") < README.index("\n## ")


def test_the_table_of_the_demo_is_the_one_that_it_prints() -> None:
    table = next(b for b in doc_pages.blocks("text") if b.page == "README.md")
    shown = [re.split(r"\s{2,}", line)[0] for line in table.text.splitlines()[1:-1]]
    assert shown == [label for label, _ in Tally().rows()]


def test_the_table_of_contents_names_each_section() -> None:
    contents = README.partition("**Contents:**")[2].partition("\n\n")[0]
    sections = re.findall(r"^## (.+)$", README, re.MULTILINE)
    assert re.findall(r"\[([^]]+)\]", contents) == sections


def test_every_page_is_named_in_the_readme_and_in_the_index() -> None:
    for path in doc_pages.DOCS.glob("*.md"):
        if path.stem != "index":
            assert f"(docs/{path.name})" in README
            assert f"\n{path.stem}\n" in doc_pages.page("index")
