"""`distrain train` as a whole, on real Ray and MLflow: the same bits, the whole record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray

import distrain
from distrain.report.page.words import number_text
from distrain.report.run.view import view_run
from distrain.results import TrainResult

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

CNN = {"name": "cnn", "channels": [4], "hidden": [16], "dropout": 0.2}
MLP = {"name": "mlp", "hidden": [16], "dropout": 0.2}


def config(storage: Path, model: dict[str, Any], num_workers: int) -> dict[str, Any]:
    """1,259 training rows in batches of 52: the last batch of an epoch has 11 rows."""
    return {
        "name": "digits",
        "seed": 3,
        "storage": str(storage),
        "data": {
            "source": "sklearn:digits",
            "target": "target",
            "split": {"validation": 0.1, "test": 0.2},
        },
        "model": model,
        "train": {
            "epochs": 2,
            "global_batch_size": 52,
            "num_workers": num_workers,
            "ledger": True,
        },
        "track": {"register": {"model": "digits", "alias": "champion"}},
        "evaluate": {"goals": {"test/accuracy": ">= 0.2"}},
    }


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def results(storage: Path) -> dict[int, TrainResult]:
    """The same small CNN with batch norm and dropout on 1 worker and on 3."""
    return {count: distrain.train(config(storage, CNN, count)) for count in (1, 3)}


def test_weights_are_the_same_on_one_worker_and_on_three(
    results: dict[int, TrainResult],
) -> None:
    assert [result.num_workers for result in results.values()] == [1, 3]
    assert len({result.weights_sha256 for result in results.values()}) == 1


@pytest.mark.usefixtures("results")
def test_a_run_takes_no_process_but_its_workers_and_what_watches_their_nodes() -> None:
    actors = ray._private.state.actors().values()

    names = {actor["ActorClassName"] for actor in actors}
    assert "RayTrainWorker" in names
    assert not {name for name in names if "Controller" in name or "Dataset" in name}
    assert "PlacementGroupCleaner" not in names


def test_metrics_are_the_same_on_one_worker_and_on_three(
    results: dict[int, TrainResult],
) -> None:
    one, three = (dict(result.metrics) for result in results.values())

    assert _without_speed(one) == _without_speed(three)


def test_the_ledger_shows_each_row_once_an_epoch(results: dict[int, TrainResult]) -> None:
    ledger = pq.read_table(results[3].run_dir / "ledger")

    for epoch in (1, 2):
        rows = ledger.filter(np.asarray(ledger["epoch"]) == epoch)["row"].to_numpy()
        assert sorted(rows) == list(range(1259))


def test_the_second_run_finds_the_data_prepared_and_adds_a_version(
    results: dict[int, TrainResult], storage: Path
) -> None:
    versions = [result.model.version for result in results.values() if result.model]

    assert versions == ["1", "2"]
    assert len([path for path in (storage / "prepared").iterdir() if len(path.name) == 64]) == 1


def test_result_json_is_the_result(results: dict[int, TrainResult]) -> None:
    stored = json.loads((results[3].run_dir / "result.json").read_text(encoding="utf-8"))

    assert stored == results[3].to_json()
    assert stored["status"] == "finished"
    assert stored["step"] == 2 * 25
    assert stored["tracking"] == "complete"
    # The same bits as version 1 have nothing to move the alias for.
    assert stored["model"] == {"name": "digits", "version": "2", "alias": None}
    assert stored["goals"]["test/accuracy"]["met"] is True


def test_the_gate_tells_why_a_version_has_the_alias_or_not(
    results: dict[int, TrainResult], storage: Path
) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    first, second = (client.get_model_version("digits", version) for version in ("1", "2"))

    assert first.tags["distrain.gate"] == "passed"
    assert first.tags["distrain.gate.why"].startswith("no version has the alias yet")
    assert second.tags["distrain.gate"] == "refused"
    assert "not better than version 1 by more than chance" in second.tags["distrain.gate.why"]
    assert "This version has not earned the alias champion" in second.description
    assert float(second.tags["distrain.gate.level"]) == 0.025
    assert second.tags["distrain.gate.gain"] == "0"
    assert first.tags["distrain.test.sha256"] == second.tags["distrain.test.sha256"]
    assert (results[1].run_dir / "model" / "packaged" / "training_rows.npy").is_file()
    promotion = json.loads(client.get_registered_model("digits").tags["distrain.promotion.1"])
    assert (promotion["from"], promotion["to"]) == (None, "1")
    assert promotion["evidence"] == f"digits/{results[1].run_dir.name}"


def test_the_curve_in_mlflow_is_the_journal_s(
    results: dict[int, TrainResult], storage: Path
) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    run = client.get_run(results[3].run_id)
    history = client.get_metric_history(results[3].run_id, "validation/loss")

    assert run.info.status == "FINISHED"
    assert run.data.tags["distrain.weights_sha256"] == results[3].weights_sha256
    assert [point.step for point in history] == [25, 50]
    assert run.data.metrics["test/accuracy"] == results[3].metrics["test/accuracy"]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_parts_of_a_run_s_time_add_up_to_its_wall_time(
    results: dict[int, TrainResult], num_workers: int
) -> None:
    split = view_run(results[num_workers].run_dir).time

    assert split.wall_s > 0
    assert split.seconds("ready") > 0
    assert split.seconds("compute") > 0
    assert sum(part.worker_s for part in split.parts) == pytest.approx(
        split.wall_s * num_workers, rel=0.02
    )
    assert abs(split.seconds("other")) < 0.02 * split.wall_s


def test_a_run_s_report_lies_in_its_folder_and_in_mlflow(
    results: dict[int, TrainResult], storage: Path
) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    run_id = results[3].run_id
    assert run_id is not None
    page = (results[3].run_dir / "report.html").read_text(encoding="utf-8")
    [listed] = client.list_artifacts(run_id, "report")

    assert listed.path == "report/report.html"
    assert listed.file_size == len(page.encode())
    assert number_text(results[3].metrics["test/accuracy"]) in page
    assert str(results[3].weights_sha256) in page
    assert "registered as digits version 2" in page
    assert client.get_run(run_id).data.metrics["time/training_s"] > 0


def test_an_unmet_goal_keeps_the_alias_where_it_is_and_says_so(
    results: dict[int, TrainResult], storage: Path
) -> None:
    values = config(storage, MLP, 2)
    values["train"]["epochs"] = 1
    values["evaluate"]["goals"] = {"test/accuracy": "> 1"}

    result = distrain.train(values)

    assert result.exit_code == 3
    assert result.model is not None
    assert result.model.alias is None


def _without_speed(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "samples_per_second"}
