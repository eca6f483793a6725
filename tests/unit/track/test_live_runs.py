"""Runs that go on while they are listed."""

import json
from pathlib import Path

import pytest

from distrain import lease
from distrain.track.journal import JournalWriter
from distrain.track.live_runs import LiveRuns
from distrain.track.runs import RunSummary, list_runs
from tests.recorded_search import RecordedSearch
from tests.unit.track.test_runs import make_run

PROGRESS = {
    "epoch": 2, "total_epochs": 5, "step": 40, "total_steps": 100, "rows_per_s": 900.0,
    "loss": 0.5, "validation": ["validation/loss", 0.6], "left_s": 30.0,
}  # fmt: skip
RUN = "20260101T120000-aaaaaa"


def listed(storage: Path) -> RunSummary:
    [run] = LiveRuns().look(list_runs(storage))
    return run


def test_a_run_that_is_driven_is_told_with_its_last_progress(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, "adult", RUN)
    with JournalWriter(run_dir / "journal", "rank0") as journal:
        journal.progress({**PROGRESS, "step": 20})
        journal.progress(PROGRESS)
        journal.metrics(40, {"train/loss": 0.5})
    with lease.holding(run_dir, lambda _: None):
        run = listed(tmp_path)

    assert (run.status, run.outcome, run.step) == ("unfinished", "running", 40)
    assert run.live is not None
    assert run.live["rows_per_s"] == 900.0
    assert 29 < run.live["left_s"] <= 30
    assert run.live["age_s"] < 1
    json.dumps(run.to_json(), allow_nan=False)


def test_a_run_that_nobody_drives_is_unfinished(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, "adult", RUN)
    with lease.holding(run_dir, lambda _: None):
        pass
    run = listed(tmp_path)
    assert (run.outcome, run.live) == ("unfinished", None)


def test_a_run_whose_record_is_only_shipped_does_not_run(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, "adult", RUN)
    with lease.holding(run_dir, lambda _: None, is_shipping=True):
        assert listed(tmp_path).outcome == "unfinished"


def test_a_run_that_has_told_nothing_yet_is_running(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, "adult", RUN)
    with lease.holding(run_dir, lambda _: None):
        run = listed(tmp_path)
    assert (run.outcome, run.live) == ("running", {})


def test_a_run_that_has_ended_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, "adult", RUN, {"status": "finished"})
    monkeypatch.setattr("distrain.lease.is_free", None)
    assert listed(tmp_path).outcome == "finished"


def test_progress_in_a_form_of_somebody_else_s_is_not_told(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, "adult", RUN)
    with JournalWriter(run_dir / "journal", "rank0") as journal:
        journal.progress({"left_s": "soon"})
    with lease.holding(run_dir, lambda _: None):
        assert listed(tmp_path).outcome == "unfinished"


def test_a_search_is_counted_by_its_events_and_a_second_look_reads_what_is_new(
    tmp_path: Path,
) -> None:
    run_dir = make_run(tmp_path, "adult", RUN)
    (run_dir / "config.yaml").write_text("tune: {num_trials: 8, metric: validation/loss}\n")
    (run_dir / "started.json").write_text('{"is_sweep": true}')
    looking = LiveRuns()
    with RecordedSearch(run_dir / "journal") as search, lease.holding(run_dir, lambda _: None):
        search.events.search({"event": "began"})
        for trial in range(3):
            search.suggest(trial)
            search.events.search({"event": "started", "trial": trial, "attempt": 1, "until": None})
        search.end(0, "stopped")
        search.driver.metrics(1, {"search/best": 0.25})
        [first] = looking.look(list_runs(tmp_path))
        search.end(1, "failed", error={"kind": "train", "message": "no"})
        [second] = looking.look(list_runs(tmp_path))

    assert first.kind == "search"
    assert first.live is not None
    assert {key: first.live[key] for key in ("num_trials", "num_ended", "num_running", "best")} == {
        "num_trials": 8, "num_ended": 1, "num_running": 2, "best": 0.25,
    }  # fmt: skip
    assert first.live["left_s"] is not None
    assert second.live is not None
    assert (second.live["num_ended"], second.live["num_failed"]) == (2, 1)
