"""Which runs are listed, and in which order."""

from dataclasses import replace
from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.track.chosen_runs import Choice
from distrain.track.runs import RunSummary, list_runs
from tests.unit.track.test_runs import make_run

RUN = RunSummary(
    name="adult", run="r", status="finished", started="2026-01-01T00:00:00+00:00", run_dir="/r",
    run_id=None, step=10, metrics={}, model=None, weights_sha256=None, reproduces=None,
    sweep=None, outcome="finished",
)  # fmt: skip
RUNS = [
    replace(RUN, run="d", name="digits", outcome="running", step=None),
    replace(RUN, run="c", metrics={"test/accuracy": 0.8, "test/loss": float("nan")}),
    replace(RUN, run="b", metrics={"test/accuracy": 0.9}, kind="search", step=None),
    replace(RUN, run="a", outcome="failed", started="2025-12-31T00:00:00+00:00"),
]


def chosen(**fields: object) -> str:
    return "".join(run.run for run in Choice(**fields).of(RUNS))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("outcome=failed", "a"),
        ("outcome!=finished", "da"),
        ("name=ad*", "cba"),
        ("test/accuracy>0.85", "b"),
        ("test/accuracy >= 0.8", "cb"),
        ("test/accuracy=0.9", "b"),
        ("test/loss<1", ""),
        ("step=none", "db"),
        ("started<2026", "a"),
        ("kind==search", "b"),
    ],
)
def test_runs_are_chosen_by_a_condition(condition: str, expected: str) -> None:
    assert chosen(where=[condition]) == expected


def test_versions_are_numbers() -> None:
    runs = [
        replace(RUN, run=number, model={"name": "adult", "version": number, "alias": None})
        for number in ("9", "10", "8")
    ]

    assert [run.run for run in Choice(sort="-version").of(runs)] == ["10", "9", "8"]
    assert [run.run for run in Choice(["version>8"]).of(runs)] == ["9", "10"]


def test_all_conditions_hold_and_of_those_left_the_newest_are_listed() -> None:
    assert chosen(where=["name=adult", "outcome=finished"], last=1) == "c"
    assert chosen(name="digits") == "d"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-started", "dcba"),
        ("started", "adcb"),
        ("test/accuracy", "cbda"),
        ("-test/accuracy", "bcda"),
        ("run", "abcd"),
    ],
)
def test_runs_are_put_in_order_and_those_without_a_value_come_last(
    sort: str, expected: str
) -> None:
    assert chosen(sort=sort) == expected


def test_an_unknown_key_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'test/accuracy'"):
        chosen(sort="test/acuracy")
    with pytest.raises(ConfigError, match="no run has 'outcom'"):
        chosen(where=["outcom=failed"])


@pytest.mark.parametrize("text", ["failed", "=3", "a b=3", ""])
def test_what_is_no_condition_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="is no condition"):
        chosen(where=[text])


def test_where_there_are_no_runs_any_key_will_do() -> None:
    assert Choice(sort="test/f1").of([]) == []


def test_a_search_is_listed_with_its_trials_and_its_best(tmp_path: Path) -> None:
    result = {
        "status": "finished", "num_trials": 8, "num_stopped_early": 5, "num_failed": 1,
        "best": {"trial": 3, "metrics": {"test/loss": 0.5}}, "goals": {"a": {"met": False}},
    }  # fmt: skip
    make_run(tmp_path, "adult", "20260101T120000-aaaaaa", result)

    [run] = list_runs(tmp_path)

    assert (run.kind, run.num_trials, run.num_stopped_early, run.num_failed) == ("search", 8, 5, 1)
    assert (run.best_trial, run.metrics, run.goals_met) == (3, {"test/loss": 0.5}, False)
