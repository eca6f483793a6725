"""The views of a search that MLflow's UI opens ready made: a leaderboard, and charts. Pure.

A saved view is a tag of the experiment, whose name ends with the id that a link names. Its value is
JSON with a name, times in milliseconds and the state of the page: `deflate;` and the base64 of the
zlib-compressed JSON that the page itself would keep. Read in the UI of MLflow 3.17.2: filter, order
and columns of the table, charts and their sections. It is no public interface: what the UI does not
know it leaves out, and of a state that it cannot read it says so and shows the plain page. Tests
hold it against the UI that is installed.

The trials of a search can be told from what comes after it, which has no ranks, by their kind.

The page asks for 100 runs at a time and draws the rows of all of them, which is most of the seconds
that it takes. A search of more trials is shown in part either way: its leaderboard and charts are
of the trials that have ranks, charts that are seldom asked for are drawn when somebody opens their
section, and a third view lists all.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from distrain.track.layout import (
    EPOCHS,
    GPU_HOURS,
    LOG10,
    MAX_RANKED,
    RANK,
    SCORE,
    TRAIN_S,
    SearchLayout,
)
from distrain.track.origin import KIND_TAG, SWEEP_TAG
from distrain.track.outcome import OUTCOME, STOP_REASON, STOP_STEP

LEADERBOARD: Final = "leaderboard"
CHARTS: Final = "charts"
ALL: Final = "all"
"""The third view, of a large search alone."""
VIEW_TAG: Final = "mlflow.sharedViewState."
OWN: Final = "distrain-"
"""Begins the ids of views that distrain has made: no other is ever removed."""
MAX_LISTED: Final = 100
"""So many runs fit on a page of MLflow's; a search of more trials is a large one."""
MAX_SEARCHES: Final = 10
"""So many searches keep their views; those of older ones go."""

_SECTION: Final = "distrain-search"
_FURTHER: Final = "distrain-further"
_FURTHER_CHARTS: Final = ("SCATTER", "BAR")
# The page adds a chart for each other metric, in a section by the name's first part. Those of 20
# metrics take longer to draw than all of a view's own.
_OF_METRICS: Final = ("validation", "train", "search", "test", "time", "System metrics")
_TITLES: Final = {LEADERBOARD: "leaderboard", CHARTS: "charts", ALL: "all trials"}
_WIDTHS: Final = {RANK: 90, OUTCOME: 120, STOP_REASON: 600}
_WIDTH: Final = 140


def view_id(key: str, view: str) -> str:
    """Return the id of a search's view, the same whenever it is asked for.

    Args:
        key: the search's, `<name>/<run>`.
        view: `leaderboard`, `charts` or `all`.
    """
    return f"{OWN}{hashlib.sha256(key.encode()).hexdigest()[:12]}-{view}"


def view_tags(
    key: str, layout: SearchLayout, made_ms: int, *, num_trials: int = 0
) -> dict[str, str]:
    """Return the tags of an experiment that hold a search's views.

    Args:
        key: the search's, `<name>/<run>`.
        layout: what they show.
        made_ms: when the search began, or ended, in milliseconds since 1970.
        num_trials: how many the search came to, once the best have ranks; 0: they have none yet,
            and all are sorted by their scores.
    """
    is_large = num_trials > MAX_LISTED
    whole = _leaderboard(key, layout, is_over=num_trials > 0)
    table = {**whole, **_of_the_best(whole, layout)} if is_large else whole
    states = {LEADERBOARD: table, CHARTS: {**table, "selectedColumns": [], "runListHidden": True}}
    states |= {ALL: whole} if is_large else {}
    run = key.rpartition("/")[2]
    return {
        f"{VIEW_TAG}{view_id(key, view)}": json.dumps(
            {
                "name": f"{run}: {_TITLES[view]}",
                "createdAt": made_ms,
                "updatedAt": made_ms,
                "state": _compressed(state),
            }
        )
        for view, state in states.items()
    }


def superfluous(tags: Mapping[str, str]) -> list[str]:
    """Return the tags of views that are to go, so that those of the newest 10 searches stay.

    Args:
        tags: of the experiment, all of them.
    """
    made: dict[str, int] = {}
    for name, value in tags.items():
        if name.startswith(f"{VIEW_TAG}{OWN}"):
            search = name.rpartition("-")[0]
            made[search] = max(made.get(search, 0), _made_ms(value))
    kept = sorted(made, key=lambda search: made[search])[-MAX_SEARCHES:]
    return [
        name
        for name in tags
        if name.startswith(f"{VIEW_TAG}{OWN}") and name.rpartition("-")[0] not in kept
    ]


def _made_ms(value: str) -> int:
    """Return when a view was made; 0 where its tag is not ours to read."""
    try:
        made = json.loads(value)["createdAt"]
    except (ValueError, TypeError, KeyError):
        return 0
    return made if isinstance(made, int) else 0


def _compressed(state: Mapping[str, Any]) -> str:
    text = json.dumps(state, separators=(",", ":")).encode()
    return "deflate;" + base64.b64encode(zlib.compress(text, 9)).decode()


def _leaderboard(key: str, layout: SearchLayout, *, is_over: bool) -> dict[str, Any]:
    """Return the state of the table: the winner first, those that were stopped behind."""
    cost = [GPU_HOURS] if layout.gpus_per_trial else []
    shown = [
        *(("metrics", name) for name in dict.fromkeys((RANK, SCORE, layout.metric))),
        ("tags", OUTCOME),
        *(("params", path) for path in layout.columns),
        *(("metrics", name) for name in (EPOCHS, TRAIN_S, *cost)),
        *(("tags", name) for name in (STOP_STEP, STOP_REASON)),
    ]
    columns = [_column(kind, name) for kind, name in shown]
    return {
        **_filter(key),
        "orderByKey": _column("metrics", RANK if is_over else SCORE),
        "orderByAsc": is_over or not layout.is_greater_better,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {_column(kind, name): _WIDTHS.get(name, _WIDTH) for kind, name in shown},
        # Of the newest runs a page shows ten in its charts, unless it is told to show all.
        "runsHiddenMode": "SHOW_ALL",
        **_sections(_chart_list(layout)),
    }


def _of_the_best(whole: Mapping[str, Any], layout: SearchLayout) -> dict[str, Any]:
    """Return what a view of a large search's best trials has in place of that of all."""
    ranked = f"{_column('metrics', RANK)} <= {MAX_RANKED}"
    return {
        "searchFilter": f"{whole['searchFilter']} and {ranked}",
        **_sections(_chart_list(layout, f"the best {MAX_RANKED}"), closed=_FURTHER_CHARTS),
    }


def _filter(key: str) -> dict[str, Any]:
    chosen = {SWEEP_TAG: key, KIND_TAG: "trial"}
    return {
        "searchFilter": " and ".join(f"tags.`{tag}` = '{text}'" for tag, text in chosen.items()),
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
    }


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _chart_list(layout: SearchLayout, of: str = "all trials") -> list[dict[str, Any]]:
    metric = layout.metric
    cost = GPU_HOURS if layout.gpus_per_trial else TRAIN_S
    charts = [
        _chart(
            "PARALLEL",
            "Parallel coordinates",  # the page calls it so, whatever its name
            selectedParams=list(layout.axes),
            selectedMetrics=[metric],
            showAllRuns=True,
        ),
        _chart("LINE", f"{metric}, {of}", metricKey=metric, selectedMetricKeys=[metric]),
        *(
            _chart(
                "SCATTER",
                f"{path} against {metric}",
                xaxis={"key": path, "type": "PARAM"},
                yaxis={"key": metric, "type": "METRIC"},
            )
            for path in _for_scatter(layout)
        ),
        _chart("BAR", f"What they cost: {cost}", metricKey=cost, runsCountToCompare=100),
    ]
    return [{**chart, "uuid": f"{_SECTION}-{place}"} for place, chart in enumerate(charts)]


def _for_scatter(layout: SearchLayout) -> Sequence[str]:
    """Return the parameter that is drawn against the metric: a learning rate, else the first."""
    rates = [axis for axis in layout.axes if axis.rpartition(".")[2] == "lr"]
    logs = [axis for axis in layout.axes if axis.startswith(LOG10)]
    return (rates or logs or list(layout.axes))[:1]


def _chart(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "displayName": name,
        "runsCountToCompare": 100,
        "deleted": False,
        "isGenerated": False,
        **fields,
    }


def _sections(charts: Sequence[Mapping[str, Any]], closed: Sequence[str] = ()) -> dict[str, Any]:
    """Return charts in their sections.

    Args:
        charts: in order.
        closed: the types of those that are drawn only once somebody opens their section.
    """
    placed = [
        {**chart, "metricSectionId": _FURTHER if chart["type"] in closed else _SECTION}
        for chart in charts
    ]
    sections = [
        _section(_SECTION, "The search at a glance", is_open=True),
        *([_section(_FURTHER, "Single parameters, cost")] if closed else []),
        *(_section(f"{_SECTION}-{name}", name, is_generated=True) for name in _OF_METRICS),
    ]
    return {
        "compareRunCharts": placed,
        "compareRunSections": sections,
        "isAccordionReordered": True,
    }


def _section(
    uuid: str, name: str, *, is_open: bool = False, is_generated: bool = False
) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "display": is_open,
        "isReordered": False,
        "deleted": False,
        "isGenerated": is_generated,
        "columns": 2,
    }
