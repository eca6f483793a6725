"""The list of runs in a terminal: what is shown of one that ended, and of one that goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import ConfigError
from distrain.report.fitting import FitTable
from distrain.report.runs_table import runs_table, watched_table
from distrain.report.watching import watch_runs
from distrain.track.chosen_runs import Choice
from distrain.track.runs import RunSummary

STORAGE = Path("runs")
RUN = RunSummary(
    name="adult", run="20260101T120000-aaaaaa", status="finished", outcome="finished",
    started="2026-01-01T12:00:00+00:00", run_dir="/runs/adult/20260101T120000-aaaaaa",
    run_id=None, step=400, metrics={"test/loss": 0.31, "test/accuracy": 0.85612},
    model=None, weights_sha256=None, reproduces=None, sweep=None, samples_per_second=9970.0,
)  # fmt: skip
LIVE = {
    "epoch": 2, "total_epochs": 5, "step": 120, "total_steps": 400, "rows_per_s": 9970.0,
    "loss": 0.5, "validation": ["validation/loss", 0.61234], "left_s": 185.0, "age_s": 0.4,
}  # fmt: skip
RUNNING = replace(RUN, status="unfinished", outcome="running", metrics={}, live=LIVE)
SEARCH = replace(
    RUN, kind="search", step=None, samples_per_second=None, num_trials=64, num_stopped_early=58,
    num_failed=0,
)  # fmt: skip


def lines(run: RunSummary, width: int | None = None, **choice: Any) -> list[str]:
    table = runs_table([run], STORAGE, Choice(**choice))
    assert isinstance(table, FitTable)
    return [line.plain.rstrip() for line in table.lines(width)]


def test_a_run_that_ended_is_one_line_and_its_loss_comes_last() -> None:
    assert lines(RUN)[1] == (
        "adult/20260101T120000-aaaaaa  finished  400 steps  9,970 rows/s  2026-01-01 12:00  "
        "accuracy 0.85612  loss 0.31"
    )


def test_a_run_that_goes_on_is_told_with_its_speed_and_the_time_that_is_left() -> None:
    assert "running  step 120/400  9,970 rows/s  3 min 5 s left" in lines(RUNNING)[1]
    assert lines(RUNNING)[1].endswith("validation/loss 0.6123")


def test_a_run_without_news_is_told_as_that() -> None:
    silent = replace(RUNNING, live={**LIVE, "age_s": 120.0})
    assert "step 120/400  no news for 2 min 0 s" in lines(silent)[1]
    assert "starting" in lines(replace(RUNNING, live={}))[1]


def test_a_search_is_told_with_its_trials() -> None:
    assert "finished (search)  64 trials  58 stopped early" in lines(SEARCH)[1]


def test_a_search_that_goes_on_is_told_with_its_best() -> None:
    live = {
        "num_trials": 64, "num_ended": 7, "num_running": 2, "num_stopped": 5, "num_failed": 1,
        "metric": "validation/loss", "best": 0.25, "left_s": 30.0,
    }  # fmt: skip
    [_, shown] = lines(replace(SEARCH, outcome="running", live=live))
    assert "7/64 trials  2 running  1 failed  30 s left" in shown
    assert shown.endswith("best validation/loss 0.25")


def test_what_runs_are_put_in_order_by_has_a_column_of_its_own() -> None:
    head, shown = lines(RUN, sort="-test/accuracy")
    assert head.split()[:3] == ["run", "outcome", "test/accuracy"]
    assert shown.count("0.856") == 1


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (60, "20260101T120000-aaaaaa  finished  accuracy 0.85612"),
        (80, "20260101T120000-aaaaaa  finished  400 steps  accuracy 0.85612  loss 0.31"),
    ],
)
def test_on_a_narrow_terminal_the_name_stays_whole(width: int, expected: str) -> None:
    assert lines(RUN, width)[1].startswith(expected)


def test_an_unmet_goal_and_a_winner_are_told() -> None:
    assert "finished (winner), goal not met" in lines(
        replace(RUN, sweep="adult/s", goals_met=False)
    )[1]  # fmt: skip


def test_where_nothing_is_meant_that_is_told() -> None:
    assert runs_table([], STORAGE, num_all=5) == "none of 5 runs is meant"
    assert runs_table([], STORAGE) == "no runs below runs"


def test_a_watched_table_is_as_high_as_the_terminal_and_tells_the_rest() -> None:
    from rich.console import Console

    console = Console(width=100, height=10, force_terminal=True)
    runs = [RUNNING] * 20
    shown = watched_table(runs, STORAGE, Choice(), num_all=20, height=10)
    drawn = console.render_lines(shown)
    assert len(drawn) <= 9
    text = "".join(segment.text for segment in drawn[-1])
    assert text.startswith("20 runs, 20 running, 14 more below")


@pytest.mark.parametrize("as_json", [True, False])
def test_watching_needs_a_terminal(tmp_path: Path, *, as_json: bool) -> None:
    with pytest.raises(ConfigError, match="--watch"):
        watch_runs(tmp_path, Choice(), as_json=as_json)
