"""The dashboard can be provisioned as it is, and each of its queries asks for something that exists."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from programs import require_program
from rendered import metrics_in, rendered_names

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "deploy" / "grafana" / "asyncmail.json").read_text()
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


def test_it_has_what_provisioning_asks_for() -> None:
    assert DASHBOARD["uid"] == "asyncmail"
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 39
    assert "id" not in DASHBOARD  # the number of one installation
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_each_panel_explains_itself_and_uses_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert [panel["datasource"], *(t["datasource"] for t in panel["targets"])] == [chosen] * (
        1 + len(panel["targets"])
    )


def test_panels_do_not_overlap() -> None:
    def overlap(a: dict[str, int], b: dict[str, int]) -> bool:
        across = a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
        return across and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]

    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not any(overlap(a, b) for a, b in combinations(places, 2))


async def test_each_query_names_metrics_that_exist() -> None:
    queries = EXPRESSIONS + [
        v["query"]["query"] for v in VARIABLES.values() if v["type"] == "query"
    ]
    assert all(metrics_in(query) for query in queries)
    assert set().union(*map(metrics_in, queries)) <= await rendered_names()


async def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in await rendered_names()}
    shown = {re.sub(r"_bucket$", "", name) for query in EXPRESSIONS for name in metrics_in(query)}
    assert {name for name in names if name.startswith("asyncmail_")} <= shown


def test_each_query_uses_only_variables_that_the_dashboard_has() -> None:
    used = set(re.findall(r"\$(\w+)", " ".join(EXPRESSIONS))) - {"__rate_interval"}
    assert used <= set(VARIABLES)


def test_each_query_parses(tmp_path: Path) -> None:
    promtool = require_program("promtool", "prometheus")
    rules = []
    for number, expression in enumerate(EXPRESSIONS):
        query = re.sub(r"\$(\w+)", "x", expression.replace("$__rate_interval", "5m"))
        rules.append({"record": f"query:{number}", "expr": query})
    # JSON is YAML too.
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    check = [promtool, "check", "rules", "rules.yml"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
