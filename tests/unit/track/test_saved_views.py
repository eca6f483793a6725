"""Saved views: their format, held against the UI of the MLflow that is installed."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import mlflow
import pytest

from distrain.track.saved_views import (
    ALL,
    CHARTS,
    LEADERBOARD,
    MAX_LISTED,
    MAX_SEARCHES,
    VIEW_TAG,
    superfluous,
    view_id,
    view_tags,
)
from tests.unit.track.test_layout import LAYOUT

KEY = "adult/20261121T120000-abc123"
MADE_MS = 1_790_000_000_000


def state_of(view: str, *, num_trials: int = 0) -> dict[str, Any]:
    """Return the state of a view, read as the UI does it."""
    tags = view_tags(KEY, LAYOUT, MADE_MS, num_trials=num_trials)
    saved = json.loads(tags[f"{VIEW_TAG}{view_id(KEY, view)}"])
    packed = saved["state"].removeprefix("deflate;")
    assert packed != saved["state"]
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def test_a_view_has_a_name_and_the_times_that_the_ui_asks_for() -> None:
    tags = view_tags(KEY, LAYOUT, MADE_MS)

    found = [json.loads(value) for value in tags.values()]
    assert [view["name"] for view in found] == [
        "20261121T120000-abc123: leaderboard",
        "20261121T120000-abc123: charts",
    ]
    assert {view["createdAt"] for view in found} == {MADE_MS}
    assert max(map(len, tags.values())) < 5000  # MLflow takes 20,000 characters


def test_the_leaderboard_has_the_best_first_beside_what_it_was_and_why_it_ended() -> None:
    state = state_of(LEADERBOARD)

    assert state["searchFilter"] == (
        f"tags.`distrain.sweep` = '{KEY}' and tags.`distrain.kind` = 'trial'"
    )
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`search/score`", False)
    assert state["selectedColumns"] == [
        "metrics.`search/rank`",
        "metrics.`search/score`",
        "metrics.`validation/accuracy`",
        "tags.`distrain.outcome`",
        "params.`train.optimizer.lr`",
        "params.`model.hidden`",
        "params.`model.dropout`",
        "metrics.`search/epochs`",
        "metrics.`search/train_s`",
        "metrics.`search/gpu_hours`",
        "tags.`distrain.stop_step`",
        "tags.`distrain.stop_reason`",
    ]
    assert state["columnOrder"] == state["selectedColumns"]


def test_a_search_that_has_ended_is_sorted_by_rank() -> None:
    state = state_of(LEADERBOARD, num_trials=MAX_LISTED)

    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`search/rank`", True)
    assert "search/rank" not in state["searchFilter"]


@pytest.mark.parametrize("view", [LEADERBOARD, CHARTS])
def test_of_a_large_search_the_best_are_listed_first_and_all_by_a_view_of_their_own(
    view: str,
) -> None:
    best, every = (state_of(one, num_trials=MAX_LISTED + 1) for one in (view, ALL))

    assert best["searchFilter"] == f"{every['searchFilter']} and metrics.`search/rank` <= 20"
    assert every == state_of(LEADERBOARD, num_trials=MAX_LISTED)


def test_of_a_large_search_single_parameters_and_cost_are_drawn_when_they_are_asked_for() -> None:
    state = state_of(CHARTS, num_trials=MAX_LISTED + 1)

    at_once, later, *_ = state["compareRunSections"]
    assert (at_once["display"], later["display"]) == (True, False)
    places = [chart["metricSectionId"] for chart in state["compareRunCharts"]]
    assert places == [at_once["uuid"]] * 2 + [later["uuid"]] * 2
    assert state["compareRunCharts"][1]["displayName"] == "validation/accuracy, the best 20"


def test_the_charts_are_parallel_coordinates_curves_the_rate_and_the_cost() -> None:
    parallel, curves, rate, cost = state_of(CHARTS)["compareRunCharts"]

    assert parallel["selectedParams"] == ["log10.train.optimizer.lr", "model.hidden"]
    assert parallel["selectedMetrics"] == ["validation/accuracy"]
    assert curves["selectedMetricKeys"] == ["validation/accuracy"]
    assert rate["xaxis"] == {"key": "log10.train.optimizer.lr", "type": "PARAM"}
    assert cost["metricKey"] == "search/gpu_hours"


def test_charts_of_other_metrics_are_drawn_when_their_section_is_opened() -> None:
    first, *others = state_of(CHARTS)["compareRunSections"]

    assert (first["name"], first["display"]) == ("The search at a glance", True)
    # The page puts a chart into the section that is called as its metric's name begins.
    assert {"train", "validation", "search"} < {section["name"] for section in others}
    assert not any(section["display"] for section in others)


@pytest.fixture(scope="module")
def bundle() -> str:
    """The scripts of the UI of the MLflow that is installed."""
    folder = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.js")))


@pytest.mark.parametrize("num_trials", [0, MAX_LISTED + 1])
@pytest.mark.parametrize("view", [LEADERBOARD, CHARTS])
def test_the_installed_ui_knows_all_that_a_view_says(
    bundle: str, view: str, num_trials: int
) -> None:
    state = state_of(view, num_trials=num_trials)
    words = {*state, *(key for chart in state["compareRunCharts"] for key in chart)}
    words |= {key for section in state["compareRunSections"] for key in section}
    words |= {chart["type"] for chart in state["compareRunCharts"]}
    words |= {"mlflow.sharedViewState.", "viewStateShareKey", "deflate;", "compareRunsMode"}
    words |= {
        "System metrics",
        "SHOW_ALL",
        "mlflow.runColor",
        "workflowType",
        '"PARAM"',
        "createdAt",
        "updatedAt",
    }

    assert [word for word in sorted(words) if word not in bundle] == []


def test_the_views_of_the_newest_ten_searches_stay_and_others_are_left_alone() -> None:
    tags = {f"{VIEW_TAG}made-by-hand": "{}", "mlflow.note.content": "ours"}
    for number in range(MAX_SEARCHES + 2):
        tags |= view_tags(f"adult/{number}", LAYOUT, MADE_MS + number)

    gone = superfluous(tags)

    oldest = {view_id(f"adult/{n}", view) for n in (0, 1) for view in (LEADERBOARD, CHARTS)}
    assert {name.removeprefix(VIEW_TAG) for name in gone} == oldest


def test_a_view_that_cannot_be_read_is_taken_for_the_oldest() -> None:
    tags = {f"{VIEW_TAG}distrain-0123456789ab-charts": "no JSON"}
    for number in range(MAX_SEARCHES):
        tags |= view_tags(f"adult/{number}", LAYOUT, MADE_MS)

    assert superfluous(tags) == [f"{VIEW_TAG}distrain-0123456789ab-charts"]
