"""A search in a terminal: its best trials, those that run, on any width and height."""

import io
import math
import time
from typing import Any

import pytest
from rich.console import Console

from distrain.errors import TrainError
from distrain.report.display import LOOK_INTERVAL_S, LiveDisplay, PlainDisplay
from distrain.report.search_view import head_line, trial_lines
from distrain.tune.leaders import leading_trials
from distrain.tune.trials import Trial

METRIC = "validation/accuracy"
STANDING: dict[str, Any] = {
    "metric": METRIC, "num_trials": 8, "num_ended": 4, "num_running": 2, "num_stopped": 2,
    "num_failed": 1, "epochs": 20, "wall_s": 8.0, "best": (0, 0.9),
}  # fmt: skip


def trial(number: int, *values: float, **fields: Any) -> Trial:
    made = Trial(number, {"train.optimizer.lr": 0.01 * (number + 1), "model.hidden": [64, 64]})
    made.reports = list(enumerate(values, 1))
    made.epoch = len(values)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def ended(number: int, outcome: str, *values: float) -> Trial:
    metrics = {METRIC: values[-1]} if outcome == "finished" else {}
    return trial(number, *values, state="ended", outcome=outcome, metrics=metrics)


TRIALS = [
    ended(0, "finished", 0.7, 0.9),
    ended(1, "stopped", 0.95),
    trial(2, 0.8, state="running"),
    trial(3, state="running"),
    trial(4),
    trial(5, 0.99, state="ended", outcome="failed", error=TrainError("no")),
]


def looked(trials: list[Trial] = TRIALS) -> Any:
    return leading_trials(trials, trials[0], METRIC, "max")


def test_trials_stand_by_their_final_value_or_their_last_and_failed_ones_do_not() -> None:
    assert [(row["trial"], row["value"]) for row in looked()["best"]] == [
        (1, 0.95), (0, 0.9), (2, 0.8),
    ]  # fmt: skip
    assert [row["is_best"] for row in looked()["best"]] == [False, True, False]


def test_what_runs_and_is_not_among_the_best_is_told_too() -> None:
    assert [row["trial"] for row in looked()["running"]] == [3]
    assert looked()["num_running"] == 2
    assert math.isnan(looked()["running"][0]["value"])


def test_less_is_better_where_that_is_asked() -> None:
    best = leading_trials(TRIALS, None, METRIC, "min")["best"]
    assert [row["trial"] for row in best] == [2, 0, 1]


def test_the_table_has_the_best_the_running_and_their_values() -> None:
    lines = [line.plain.rstrip() for line in trial_lines(STANDING, looked(), 120, 40)]
    assert lines == [
        "   trial  state     epoch  validation/accuracy  lr    hidden",
        "       1  stopped       1                 0.95  0.02  [64, 64]",
        "★      0  finished      2                  0.9  0.01  [64, 64]",
        "▸      2  running       1                  0.8  0.03  [64, 64]",
        "▸      3  running       0                    -  0.04  [64, 64]",
    ]


@pytest.mark.parametrize("width", range(1, 141))
def test_no_line_is_too_long_on_any_width(width: int) -> None:
    lines = trial_lines(STANDING, looked(), width, 24)
    assert all(line.cell_len <= width for line in [head_line(STANDING, width), *lines])


@pytest.mark.parametrize("height", range(1, 30))
def test_the_table_is_never_higher_than_the_terminal(height: int) -> None:
    many = [trial(number, 0.5, state="running") for number in range(40)]
    assert len(trial_lines(STANDING, looked(many), 80, height)) <= max(0, height - 4)


def test_a_narrow_terminal_is_told_first_how_long_it_takes() -> None:
    assert head_line(STANDING, 24).plain == "4/8 trials  8 s left"


def test_trials_are_looked_at_now_and_then_and_not_at_every_event() -> None:
    looks: list[float] = []

    def look() -> Any:
        looks.append(time.monotonic())
        return looked()

    display = LiveDisplay(Console(file=io.StringIO(), force_terminal=True, width=80, height=24))
    display.stage("searching")
    began = time.monotonic()
    for _ in range(1000):
        display.search({**STANDING, "trials": look})
    took_s = time.monotonic() - began
    display.close()

    assert 1 <= len(looks) <= 1 + took_s / LOOK_INTERVAL_S


@pytest.mark.parametrize("width", [1, 7, 20, 33, 60, 80, 140, 300])
def test_a_display_draws_a_search_on_odd_widths(width: int) -> None:
    out = io.StringIO()
    display = LiveDisplay(Console(file=out, force_terminal=True, width=width, height=24))
    display.stage("searching")
    display.search({**STANDING, "trials": looked})
    display._live.refresh()
    display.close()

    assert ("★" in out.getvalue()) == (width >= 33)


def test_a_pipe_is_told_of_a_search_at_its_end_once_whatever_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, ended = io.StringIO(), {**STANDING, "num_ended": 8, "num_running": 0}
    display = PlainDisplay(Console(file=told))
    for tenth in range(90):
        now = 100 + tenth / 10
        monkeypatch.setattr("distrain.report.display.time.monotonic", lambda now=now: now)
        display.search(STANDING if tenth < 20 else {**ended, "after": f"auditing {tenth}/99"})

    lines = told.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["4/8 trials", "8/8 trials", "8/8 trials"]
