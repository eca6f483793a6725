"""The dashboard asks for what is exported, and shows each of distrain's gauges."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from ray.dashboard.modules.metrics.dashboards.default_dashboard_panels import (
    default_dashboard_config,
)
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

from distrain.train.gauges import GAUGES, LABELS, STATE
from tests.cluster_files import CLUSTER
from tests.promql import asked_for

BOARD: Any = json.loads((CLUSTER / "grafana.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TARGETS = [target for panel in PANELS for target in panel["targets"]]
OWN = "ray_distrain_"


def queries() -> Iterator[str]:
    yield from (target["expr"] for target in TARGETS)
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found is not None
            yield f"max by ({found[2]}) ({found[1]})"


def labels_of(metric: str) -> set[str]:
    """Return the labels that distrain, or Ray, gives a metric; none: there is no such metric."""
    if metric.startswith(OWN):
        name = metric.removeprefix(OWN)
        return {*LABELS, *([STATE] if name == "trials" else [])} if name in GAUGES else set()
    of_node = METRICS_GAUGES.get(metric.removeprefix("ray_"))
    if of_node is not None:
        return set(of_node.view.columns)
    # Of what Ray's native code exports, its own dashboard knows the labels.
    panels = itertools.chain.from_iterable(row.panels for row in default_dashboard_config.rows)
    expressions = [target.expr for panel in panels for target in panel.targets]
    asked = [asked_for(text.replace("{{", "{").replace("}}", "}")) for text in expressions]
    return set().union(*(labels for pairs in asked for name, labels in pairs if name == metric))


@pytest.mark.parametrize("query", list(queries()))
def test_each_query_names_metrics_and_labels_that_are_exported(query: str) -> None:
    asked = asked_for(query)

    assert asked
    for metric, labels in asked:
        assert labels_of(metric), metric
        assert labels <= labels_of(metric)


@pytest.mark.parametrize("name", list(GAUGES))
def test_each_gauge_has_one_panel(name: str) -> None:
    shown = [
        panel["title"]
        for panel in PANELS
        if any(f"{OWN}{name}" in target["expr"] for target in panel["targets"])
    ]

    assert len(shown) == 1


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_each_panel_says_what_it_shows_in_which_unit_and_from_where(panel: dict[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}

    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [
        source
    ] * (1 + len(panel["targets"]))


def test_a_legend_names_only_labels_that_are_left() -> None:
    for target in TARGETS:
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        (_, labels), *_ = asked_for(target["expr"], only_kept=True)
        assert named <= labels


def test_panels_lie_side_by_side_under_numbers_of_their_own() -> None:
    numbers = [panel["id"] for panel in BOARD["panels"]]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in BOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(numbers) == len(set(numbers))
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
