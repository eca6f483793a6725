"""What a terminal shows of a search and of what comes after it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.config.digest import dump_yaml
from distrain.config.load import settings_from_dict
from distrain.hindsight import why
from distrain.report.search_view import search_text
from distrain.report.tables import result_table
from distrain.results import TuneResult
from distrain.run_folder import CONFIG, JOURNAL, RESULT, write_result
from distrain.track.trials import AUDITS_FROM
from distrain.tune.audit import judge_stops
from distrain.tune.confirm import ConfirmResult
from distrain.tune.events import EventWriter, writing_events

METRIC = "validation/accuracy"
CONFIRMED = ConfirmResult(0, METRIC, {1: 0.9, 2: 0.92}, 0, 8)
AUDITED = judge_stops(0.93, {1: 0.95}, "max", num_stopped=3, epochs=4)
STANDING: dict[str, Any] = {
    "metric": METRIC, "num_trials": 8, "num_ended": 8, "num_running": 2, "num_stopped": 5,
    "num_failed": 0, "epochs": 20, "wall_s": 4.0, "best": (3, 0.9),
}  # fmt: skip


def result_of(run_dir: Path, **fields: Any) -> TuneResult:
    return TuneResult(
        status="finished", run_id=None, run_dir=run_dir, num_trials=4, num_stopped_early=3,
        num_failed=0, best={"trial": 0, "run_id": None, "config": {}, "metrics": {METRIC: 0.93}},
        epochs_spent=20, wall_s=4.0, weights_sha256=None, model=None, **fields,
    )  # fmt: skip


def rows_of(result: TuneResult) -> dict[str, str]:
    lines = result_table(result).__rich__().plain.splitlines()
    return dict(line.split(None, 1) for line in lines)


def asked(run_dir: Path) -> TuneResult:
    return result_of(run_dir, confirm=CONFIRMED.to_json(), audit=AUDITED.to_json())


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A search of two trials, of which the second was stopped, and audited."""
    folder = tmp_path / "digits" / "20261129T193230-5872f0"
    folder.mkdir(parents=True)
    space = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
    settings = settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y", "task": "classification"},
            "tune": {"space": space, "metric": METRIC, "confirm": 2},
        }
    )
    (folder / CONFIG).write_text(dump_yaml(settings))
    (folder / RESULT).write_text(json.dumps(asked(folder).to_json()))
    (folder / "started.json").write_text(json.dumps(
        {"import_paths": [], "dataset_digest": "", "files": [], "shapes": {}, "tags": {},
         "is_sweep": True}))  # fmt: skip
    with writing_events(folder / JOURNAL, lambda: True) as log:
        for trial in (0, 1, AUDITS_FROM + 1):
            log.add("suggested", trial=trial, assignment={"train.optimizer.lr": 0.1})
        for trial, outcome, value in ((0, "finished", 0.93), (1, "stopped", None)):
            _end(log, trial, outcome, value)
        _end(log, AUDITS_FROM + 1, "finished", 0.95)
        log.add("won", trial=0)
    return folder


def _end(log: EventWriter, trial: int, outcome: str, value: float | None) -> None:
    metrics = {} if value is None else {METRIC: value}
    log.add("ended", trial=trial, outcome=outcome, epoch=4, metrics=metrics, error=None)


def test_what_comes_after_a_search_is_shown_while_it_runs() -> None:
    shown = search_text({**STANDING, "after": "confirming 1/3, auditing 0/2"})

    assert shown.endswith("best validation/accuracy 0.9 (trial 3)  confirming 1/3, auditing 0/2")
    assert search_text({**STANDING, "after": ""}).endswith("(trial 3)")


def test_the_last_table_has_the_seeds_and_the_audit(tmp_path: Path) -> None:
    rows = rows_of(asked(tmp_path))

    assert rows["confirm"] == (
        "validation/accuracy 0.91 ± 0.01414 with 2 other seeds (0.9 to 0.92)"
    )
    assert rows["audit"].startswith("1 of 1 audited stops wrong, so 2.5 to 100 % of all 3 (95 %)")


def test_of_several_seeds_the_mean_is_shown(tmp_path: Path) -> None:
    result = result_of(tmp_path)
    best = {**(result.best or {}), "mean": 0.9251234, "num_seeds": 3}

    assert rows_of(replace(result, best=best))["mean"] == "0.925123 over 3 seeds"
    assert "mean" not in rows_of(result)


def test_a_search_that_was_not_asked_for_them_shows_none(tmp_path: Path) -> None:
    assert not {"confirm", "audit"} & rows_of(result_of(tmp_path)).keys()


def test_the_result_survives_its_file(run_dir: Path) -> None:
    result = asked(run_dir)

    again = TuneResult.from_json(json.loads(json.dumps(result.to_json())))

    assert (again.confirm, again.audit) == (result.confirm, result.audit)
    assert rows_of(again) == rows_of(result)


def test_figures_that_are_no_numbers_are_shown_from_the_file_too(tmp_path: Path) -> None:
    confirmed = ConfirmResult(0, METRIC, {1: math.nan, 2: 0.92}, 0, 8)
    audited = judge_stops(0.93, {1: math.inf, 2: 0.5}, "max", num_stopped=3, epochs=4)
    result = result_of(tmp_path, confirm=confirmed.to_json(), audit=audited.to_json())
    best = {**(result.best or {}), "mean": math.nan, "num_seeds": 3, "metrics": {METRIC: math.nan}}
    write_result(tmp_path, replace(result, best=best).to_json())

    rows = rows_of(TuneResult.from_json(json.loads((tmp_path / RESULT).read_text())))

    assert rows["mean"] == "nan over 3 seeds"
    assert rows["validation"] == "accuracy nan"
    assert rows["confirm"].startswith("validation/accuracy nan with 2 other seeds")
    assert "regret nan; trial 1 came to nan" in rows["audit"]


def test_why_tells_whether_a_stop_was_wrong(run_dir: Path) -> None:
    found = why(str(run_dir), 1, storage=run_dir.parent.parent)

    assert found.audit == {
        "metric": METRIC, "value": 0.95, "winner_value": 0.93, "was_wrong": True,
    }  # fmt: skip
    assert (
        "it came to validation/accuracy 0.95, and the winner, trial 0, to 0.93. So the stop was "
        "wrong.\nThe audit: 1 of 1 audited stops wrong"
    ) in found.text
    assert found.confirm is None


def test_why_tells_of_the_winner_s_other_seeds(run_dir: Path) -> None:
    found = why(str(run_dir), 0, storage=run_dir.parent.parent)

    assert found.confirm == CONFIRMED.to_json()
    assert found.text.endswith(
        "It won the search.\nConfirmed: validation/accuracy 0.91 ± 0.01414 with 2 other seeds "
        "(0.9 to 0.92)."
    )
    assert found.audit is None
