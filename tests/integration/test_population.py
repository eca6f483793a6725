"""Population-based training on real Ray Tune and MLflow: decisions, the winner, a killed driver."""

import json
from pathlib import Path
from typing import Any

import pytest

import distrain
from distrain import hindsight
from distrain.errors import ConfigError
from distrain.results import TuneResult
from distrain.run_folder import JOURNAL
from distrain.train.checkpoint import committed_steps
from distrain.train.job import TrainJob
from distrain.train.taken_over import take_over
from distrain.tune import sweep
from distrain.tune.events import read_events
from tests.digits_search import digits_search
from tests.killed_search import end_search, kill_search

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

NUM_TRIALS, NUM_RUNGS = 4, 3


def config(storage: Path, **tune: Any) -> dict[str, Any]:
    space = {
        "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
        "model.dropout": {"uniform": [0, 0.5]},
    }
    scheduler = {"name": "pbt", "quantile_fraction": 0.5}
    asked = {"metric": "validation/loss", "num_trials": NUM_TRIALS, "space": space}
    return digits_search(
        storage,
        seed=4,
        train={"epochs": NUM_RUNGS + 1},
        tune={**asked, "scheduler": scheduler, **tune},
    )


def decisions_in(run_dir: Path) -> list[tuple[Any, ...]]:
    told = ("rung", "trial", "action", "value", "source", "assignment", "text")
    found = (e for e in read_events(run_dir / JOURNAL) if e["event"] == "decided")
    return sorted((tuple(e.get(name) for name in told) for e in found), key=lambda one: one[:2])


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("population")


@pytest.fixture(scope="module")
def searched(storage: Path) -> TuneResult:
    return distrain.tune(config(storage))


def test_the_last_take_over_at_each_rung_and_all_run_to_the_end(searched: TuneResult) -> None:
    assert searched.error is None
    assert (searched.num_trials, searched.num_stopped_early, searched.num_failed) == (4, 0, 0)
    assert searched.epochs_spent == NUM_TRIALS * (NUM_RUNGS + 1)
    copies = [one[0] for one in decisions_in(searched.run_dir) if one[2] == "copy"]
    assert copies == [0, 0, 1, 1, 2, 2]


@pytest.mark.long
def test_it_decides_alike_one_after_the_other(
    searched: TuneResult, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def spied(job: TrainJob, step: int, source: Path) -> None:
        take_over(job, step, source)
        found.append((step, committed_steps(Path(job.run_dir))))

    monkeypatch.setattr(sweep, "take_over", spied)
    other = distrain.tune(config(storage, max_concurrent=1))

    assert len(found) == 2 * NUM_RUNGS
    assert [steps for _, steps in found] == [[step] for step, _ in found]
    assert decisions_in(other.run_dir) == decisions_in(searched.run_dir)
    assert other.weights_sha256 == searched.weights_sha256


def test_the_winner_is_one_run_with_changes(searched: TuneResult, storage: Path) -> None:
    """What it is by its own `config.yaml`, trained from the first step to the last."""
    assert searched.best is not None
    values = searched.best["config"]
    assert values["train.changes"]
    overrides = [f"{path}={json.dumps(value)}" for path, value in values.items()]

    trained = distrain.train(config(storage), overrides)

    assert trained.weights_sha256 == searched.weights_sha256


@pytest.mark.long
def test_every_trial_has_the_weights_of_its_configuration(
    searched: TuneResult, storage: Path
) -> None:
    ended = [e for e in read_events(searched.run_dir / JOURNAL) if e["event"] == "ended"]
    changed = max(ended, key=lambda e: len(e["assignment"].get("train.changes", [])))
    values = changed["assignment"]
    assert values["train.changes"]

    trained = distrain.train(
        config(storage), [f"{path}={json.dumps(value)}" for path, value in values.items()]
    )

    assert trained.weights_sha256 == changed["weights_sha256"]


@pytest.mark.long
def test_the_winner_can_be_made_again(searched: TuneResult, storage: Path) -> None:
    assert searched.best is not None
    run_dir = searched.run_dir.with_name(f"{searched.run_dir.name}-{searched.best['trial']:04d}")

    result = distrain.reproduce(str(run_dir), storage=storage)

    assert result.status == "equal"


def test_mlflow_has_the_course_of_each_trial(searched: TuneResult, storage: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{searched.run_id}'"
    )
    by_trial = {int(run.data.tags["distrain.trial"]): run.data for run in runs}
    events = list(read_events(searched.run_dir / JOURNAL))

    assert sorted(by_trial) == list(range(NUM_TRIALS))
    for event in events:
        if event.get("action") == "copy":
            tags = by_trial[event["trial"]].tags
            assert tags[f"distrain.took_over.{event['rung']}"] == event["text"]
        if event["event"] == "ended":
            data = by_trial[event["trial"]]
            assert data.params["train.optimizer.lr"] == str(
                event["assignment"]["train.optimizer.lr"]
            )
            assert "distrain.tracking.rejected" not in data.tags


def test_why_tells_from_whom_and_what_changed(searched: TuneResult, storage: Path) -> None:
    copy = [one for one in decisions_in(searched.run_dir) if one[2] == "copy"][-1]

    result = hindsight.why(str(searched.run_dir), copy[1], storage=storage)

    assert f"takes over from trial {copy[4]}" in result.text
    assert "with train.optimizer.lr " in result.text
    assert result.config == copy[5]


def test_what_trials_took_over_is_no_curve_to_replay(searched: TuneResult, storage: Path) -> None:
    with pytest.raises(ConfigError, match="take over from each other"):
        hindsight.replay(str(searched.run_dir), ["tune.scheduler=sha"], storage=storage)


@pytest.mark.long
def test_a_killed_driver_ends_alike(searched: TuneResult, tmp_path: Path) -> None:
    """The driver is killed twice, at different places of the event log."""
    file = tmp_path / "digits.yaml"
    file.write_text(json.dumps(config(tmp_path / "runs")))
    command = ["tune", str(file)]
    for num_events in (18, 40):
        run_dir = kill_search(command, tmp_path / "runs", num_events)
        command = ["resume", str(run_dir)]

    result = end_search(command, tmp_path / "runs")

    assert decisions_in(run_dir) == decisions_in(searched.run_dir)
    assert result["weights_sha256"] == searched.weights_sha256
    ends = [e["trial"] for e in read_events(run_dir / JOURNAL) if e["event"] == "ended"]
    assert sorted(ends) == list(range(NUM_TRIALS))
