"""A search's trials on a real MLflow database, and over a link that loses answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from distrain.run_folder import JOURNAL
from distrain.track import describe
from distrain.track.runs import list_runs
from distrain.track.shipper import Shipper
from distrain.track.sync import sync
from distrain.track.tracking_server import TrackingServer, connect, storage_server
from tests.lossy_proxy import LossyProxy
from tests.mlflow_server import MlflowServer
from tests.recorded_search import DATASET, NAME, SWEEP, RecordedSearch

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = [
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def sweep_dir(storage: Path) -> Path:
    folder = storage / NAME / SWEEP
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("data: {source: people.csv, target: pay}\n")
    return folder


def record(sweep_dir: Path, num_trials: int) -> RecordedSearch:
    """Record trials that are stopped, but for the last, which nothing ends."""
    with RecordedSearch(sweep_dir / JOURNAL, dataset=DATASET) as search:
        for trial in range(num_trials):
            search.suggest(trial, train__optimizer={"name": "sgd", "lr": 1e-05}, seed=trial)
            for time in (1, 2):
                search.report(trial, time, 20 * time, train__loss=1 / time, val__accuracy=0.5)
            if trial < num_trials - 1:
                search.decide(trial, "stop", "rung 0: 3rd of 3")
                search.end(trial, "stopped_early")
    return search


def _data_of(run: "Run") -> list[str]:
    return sorted(told.dataset.name for told in run.inputs.dataset_inputs)


def test_sync_brings_a_dead_search_with_its_trials_and_names_the_best(sweep_dir: Path) -> None:
    record(sweep_dir, 3)
    best = {"trial": 1, "run_id": None, "config": {}, "metrics": {"validation/accuracy": 0.5}}
    result = {"status": "interrupted", "run_id": None, "num_trials": 3, "best": best}
    (sweep_dir / "result.json").write_text(json.dumps(result))
    storage = sweep_dir.parent.parent

    (done,) = sync([], storage).runs

    assert (done.outcome, done.was_closed) == ("shipped", True)
    assert done.run_id is not None
    client = connect(storage_server(storage))
    parent = client.get_run(done.run_id)
    assert "distrain.stop_step" not in parent.data.tags
    query = f"tags.mlflow.parentRunId = '{done.run_id}'"
    first, second, last = sorted(
        client.search_runs([parent.info.experiment_id], query), key=lambda run: run.info.run_name
    )
    expected = {"train": {"optimizer": {"name": "sgd", "lr": 1e-05}}, "seed": 1}
    assert second.data.params == describe.run_params(expected)
    assert second.data.tags["distrain.stop_reason"] == "rung 0: 3rd of 3"
    assert (first.info.status, parent.info.status) == ("FINISHED", "KILLED")
    assert (last.info.status, last.data.tags["distrain.outcome"]) == ("KILLED", "killed")
    assert [_data_of(run) for run in (first, second, last)] == [
        ["adult/train", "adult/validation"]
    ] * 3
    history = client.get_metric_history(second.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(20, 1.0), (40, 0.5)]
    (listed,) = list_runs(storage)
    assert listed.metrics == {"validation/accuracy": 0.5}
    written = json.loads((sweep_dir / "result.json").read_text())
    assert written["best"]["run_id"] == second.info.run_id
    assert [run.outcome for run in sync([], storage).runs] == ["nothing"]


def test_a_child_that_was_deleted_meanwhile_is_restored_by_a_real_store(sweep_dir: Path) -> None:
    server = storage_server(sweep_dir.parent.parent)
    client = connect(server)
    shipper = Shipper(sweep_dir / JOURNAL, server, connect_to=lambda _: client)
    search = record(sweep_dir, 2)
    shipper.start()
    assert shipper.drain(60)
    client.delete_run(shipper.child_ids[1])
    with RecordedSearch(search.folder) as again:
        again.report(1, 3, 60, train__loss=0.25)
        assert shipper.drain(60)
    shipper.close()

    run = client.get_run(shipper.child_ids[1])
    assert run.info.lifecycle_stage == "active"
    assert run.data.metrics["train/loss"] == 0.25
    assert "distrain.tracking.rejected" not in run.data.tags


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server")
    server.start()
    yield server
    server.stop()


@pytest.mark.slow
def test_a_link_that_loses_answers_leaves_each_trial_once(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    num_trials = 20
    search = record(tmp_path, num_trials)
    search = RecordedSearch(search.folder)
    search.driver.status("FINISHED")
    search.close()
    with LossyProxy(mlflow_server.tracking.uri, 0.3, seed=2) as proxy:
        server = TrackingServer(proxy.uri, None, "track.uri")
        shipper = Shipper(search.folder, server)
        shipper.start()
        assert shipper.drain(300, with_data=True)
        shipper.close()

    assert proxy.num_lost > 10
    client = connect(mlflow_server.tracking)
    experiment = client.get_experiment_by_name(NAME)
    runs = client.search_runs([experiment.experiment_id], "tags.`distrain.kind` = 'trial'")
    assert len(runs) == num_trials
    assert all(run.info.status != "RUNNING" for run in runs)
    for run in runs:
        assert _data_of(run) == ["adult/train", "adult/validation"]
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert [metric.step for metric in history] == [20, 40]
