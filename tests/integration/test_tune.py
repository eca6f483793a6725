"""`distrain tune` on real Ray Tune and MLflow: decisions, the winner, faults, a killed driver."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import distrain
from distrain import hindsight
from distrain.errors import ConfigError
from distrain.results import TuneResult
from distrain.run_folder import JOURNAL
from distrain.tune.events import read_events
from tests.digits_search import decisions, digits_search
from tests.killed_search import REPOSITORY, end_search, kill_search

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

# What a trial is planted to fail of -> what is told of it.
FAULTS = {
    "none": "",
    "exception": "ValueError: no such thing as",
    "memory": "MemoryError: cannot have 99 TiB",
    "allocates": "you tried to allocate 4503599627370496 bytes",
    "nan": "the loss is nan, from row",
    "killed": "the worker's process was killed",
    "exits": "SystemExit: 3",
    "disk": "No space left on device",
    "sleeps": "the trial hangs: no step for",
    "stands": "the trial hangs: no step for",
    "unsaved": "the state of 'faulty_trials:Faulty' holds a lock, 'lock'",
    "import": "No module named 'no_such_library'",
    "size": "negative dimension",
}
ABSENT = "importing absent_trials failed (ModuleNotFoundError: No module named 'absent_trials')"
HANG_S = 15.0


def config(storage: Path, **tune: Any) -> dict[str, Any]:
    space = {
        "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
        "model.hidden": {"choice": [[8], [32]]},
    }
    return digits_search(
        storage,
        track={"register": {"model": "digits", "alias": "champion"}},
        tune={"num_trials": 8, "space": space, **tune},
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def searched(storage: Path) -> TuneResult:
    return distrain.tune(config(storage))


def test_a_search_ends_with_a_registered_winner(searched: TuneResult) -> None:
    assert searched.error is None
    assert (searched.num_trials, searched.num_stopped_early, searched.num_failed) == (8, 6, 0)
    assert searched.best is not None
    assert searched.best["metrics"]["test/accuracy"] > 0.5
    assert searched.model is not None
    assert (searched.model.name, searched.model.alias) == ("digits", "champion")


def test_halving_spends_the_epochs_of_its_rungs(searched: TuneResult) -> None:
    # 8 trials to epoch 1, 4 to 2, and 2 to the end at 4.
    assert searched.epochs_spent == 8 + 4 + 2 * 2


def test_nothing_is_left_of_trials_but_the_record(searched: TuneResult) -> None:
    assert list((searched.run_dir / "trials").iterdir()) == []
    assert list(searched.run_dir.glob(".tune-*")) == []


def test_the_search_and_each_trial_is_a_run_at_mlflow(searched: TuneResult, storage: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{searched.run_id}'"
    )
    outcomes = [run.data.tags["distrain.outcome"] for run in runs]
    assert len(runs) == 8
    assert (outcomes.count("stopped"), outcomes.count("finished")) == (6, 2)
    for run in runs:
        data = {told.dataset.name for told in run.inputs.dataset_inputs}
        assert data >= {"digits/train", "digits/validation"}
    assert searched.best is not None
    winner = client.get_run(searched.best["run_id"])
    assert winner.data.tags["distrain.trial"] == str(searched.best["trial"])
    assert winner.data.tags["distrain.weights_sha256"] == searched.weights_sha256
    assert winner.data.metrics["test/accuracy"] == searched.best["metrics"]["test/accuracy"]
    assert "distrain.tracking.rejected" not in winner.data.tags


def test_trials_and_decisions_are_tables_among_the_artifacts(
    searched: TuneResult, storage: Path
) -> None:
    from mlflow import MlflowClient

    assert searched.run_id is not None
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    files = [file.path for file in client.list_artifacts(searched.run_id, "search")]
    note = client.get_run(searched.run_id).data.tags["mlflow.note.content"]
    with (searched.run_dir / "search" / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))

    assert files == ["search/decisions.csv", "search/trials.csv"]
    assert [row["outcome"] for row in trials].count("stopped") == 6
    assert "| finished | 2 | " in note
    assert "| stopped | 6 | " in note


def test_the_report_lies_in_the_folder_and_among_the_artifacts(
    searched: TuneResult, storage: Path
) -> None:
    from mlflow import MlflowClient

    assert searched.run_id is not None
    assert searched.best is not None
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    recorded = Path(client.download_artifacts(searched.run_id, "report/report.html"))
    page = (searched.run_dir / "report.html").read_text(encoding="utf-8")

    assert recorded.read_text(encoding="utf-8") == page
    assert "<b>Finished</b>" in page
    assert f"Trial {searched.best['trial']} won" in page
    assert "Of 8 trials 2 finished, 6 were stopped and none failed." in page
    assert f"<dd>{searched.epochs_spent}</dd>" in page


def test_why_tells_rank_and_cut(searched: TuneResult, storage: Path) -> None:
    stopped = next(one[0] for one in decisions(searched.run_dir) if one[2] == "stop")

    result = hindsight.why(searched.run_dir.name, stopped, storage=storage)

    assert result.outcome == "stopped"
    assert "it needed at least" in result.text or "it needed more than" in result.text
    assert hindsight.why(str(searched.run_dir), searched.best["trial"], storage=storage).is_winner  # type: ignore[index]


def test_why_of_a_trial_that_is_not_there_names_those_that_are(searched: TuneResult) -> None:
    with pytest.raises(ConfigError, match=r"there is no trial 99.*0 to 7"):
        hindsight.why(str(searched.run_dir), 99, storage=searched.run_dir.parent.parent)


def test_replay_with_the_own_scheduler_gives_what_was(searched: TuneResult, storage: Path) -> None:
    same = ["tune.scheduler.reduction_factor=2"]

    result = hindsight.replay(searched.run_dir.name, same, storage=storage)

    assert result.recorded == result.played
    assert result.played.epochs == searched.epochs_spent
    assert searched.best is not None
    assert result.played.best is not None
    assert result.played.best[0] == searched.best["trial"]


def test_the_winner_has_the_weights_that_train_gives(searched: TuneResult, storage: Path) -> None:
    assert searched.best is not None
    values = searched.best["config"]
    overrides = [f"{path}={json.dumps(value)}" for path, value in values.items()]

    trained = distrain.train(config(storage), overrides)

    assert trained.weights_sha256 == searched.weights_sha256


@pytest.mark.long
@pytest.mark.parametrize("slots", [1, 4])
def test_a_synchronous_search_decides_alike_at_any_width(
    searched: TuneResult, storage: Path, slots: int
) -> None:
    other = distrain.tune(config(storage, max_concurrent=slots))

    assert decisions(other.run_dir) == decisions(searched.run_dir)
    assert other.weights_sha256 == searched.weights_sha256


def test_a_finished_search_is_not_run_again(searched: TuneResult, storage: Path) -> None:
    again = distrain.resume(searched.run_dir, storage=storage)

    assert isinstance(again, TuneResult)
    assert again.weights_sha256 == searched.weights_sha256
    assert again.wall_s == pytest.approx(searched.wall_s, abs=0.01)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TuneResult]:
    """A search in which each trial but the first fails in a way of its own."""
    folder = tmp_path_factory.mktemp("faulty")
    shutil.copy(REPOSITORY / "tests" / "faulty_trials.py", folder)
    here = "faulty_trials:Faulty"
    asked = config(
        folder,
        search_alg="grid",
        num_trials=None,
        scheduler="none",
        max_concurrent=4,
        space={
            "model.target": {"grid": [here, "absent_trials:Net"]},
            "model.args.fault": {"grid": [*FAULTS], "when": {"model.target": here}},
        },
    )
    asked["model"] = {"target": here, "args": {"fault": "none"}}
    asked["train"]["max_failures"] = 1
    asked["cluster"] = {"collective_timeout_s": HANG_S}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield distrain.tune(asked)


@pytest.mark.parametrize(
    ("trial", "message"), list(enumerate([*FAULTS.values(), ABSENT])), ids=[*FAULTS, "absent"]
)
def test_a_fault_of_a_trial_is_told_with_its_cause(
    faulty: TuneResult, trial: int, message: str
) -> None:
    told = hindsight.why(str(faulty.run_dir), trial, storage=faulty.run_dir.parent.parent)

    assert told.state == ("failed" if message else "finished")
    assert message in (told.error or {"message": ""})["message"]
    assert message in told.text


@pytest.mark.parametrize("fault", ["memory", "allocates"])
def test_a_trial_without_memory_tells_what_it_had_and_what_was_there(
    faulty: TuneResult, fault: str
) -> None:
    trial = list(FAULTS).index(fault)
    told = hindsight.why(str(faulty.run_dir), trial, storage=faulty.run_dir.parent.parent)

    assert told.error is not None
    assert "memory for the trial; it had 1 CPU, and held" in told.error["expected"]
    assert told.error["expected"] in told.text


def test_faults_of_trials_end_no_search(faulty: TuneResult) -> None:
    assert (faulty.status, faulty.error) == ("finished", None)
    assert (faulty.num_trials, faulty.num_failed) == (len(FAULTS) + 1, len(FAULTS))
    assert faulty.best is not None
    assert faulty.best["trial"] == 0


@pytest.mark.parametrize("fault", ["sleeps", "stands"])
def test_a_trial_that_hangs_leaves_its_stacks_and_is_tried_twice(
    faulty: TuneResult, fault: str
) -> None:
    trial = [*FAULTS].index(fault)
    events = [e for e in read_events(faulty.run_dir / JOURNAL) if e.get("trial") == trial]
    log = faulty.run_dir / "trials" / f"{trial:04d}" / "logs" / "rank-0.txt"

    assert [e["event"] for e in events if e["event"] in ("started", "lost", "ended")] == [
        *("started", "lost", "started", "lost", "ended")
    ]
    assert {e["error"]["class"] for e in events if e["event"] == "lost"} == {"hangs"}
    assert log.read_text().count("in _go_wrong") >= 2  # on a busy machine one may tell twice


@pytest.mark.long
@pytest.mark.parametrize("kills", [[25], [12, 25, 45]])
def test_a_killed_driver_repeats_no_trial_and_ends_alike(
    searched: TuneResult, tmp_path: Path, kills: list[int]
) -> None:
    """The driver is killed at some places of the event log."""
    file = tmp_path / "digits.yaml"
    file.write_text(json.dumps(config(tmp_path / "runs")))
    command = ["tune", str(file)]
    for num_events in kills:
        run_dir = kill_search(command, tmp_path / "runs", num_events)
        command = ["resume", str(run_dir)]
        # What ran is not said to run on.
        assert states(run_dir) <= {"waiting", "paused", "cut_off", "stopped", "finished"}
    result = end_search(command, tmp_path / "runs")

    events = list(read_events(run_dir / JOURNAL))
    ends = [event["trial"] for event in events if event["event"] == "ended"]
    assert sorted(ends) == list(range(8))
    assert decisions(run_dir) == decisions(searched.run_dir)
    assert result["weights_sha256"] == searched.weights_sha256


def states(run_dir: Path) -> set[str]:
    storage = run_dir.parent.parent
    trials = {e["trial"] for e in read_events(run_dir / JOURNAL) if e["event"] == "suggested"}
    return {hindsight.why(str(run_dir), trial, storage=storage).state for trial in trials}
