"""Recording and registering on an MLflow server over HTTP, which goes away in between."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distrain.track.journal import JournalWriter
from distrain.track.model_versions import download_model, find_version
from distrain.track.packaged import Predictor
from distrain.track.registry import ModelFacts, register_version
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import connect
from tests.example_models import people, people_transform, save_example
from tests.mlflow_server import MlflowServer

pytestmark = [
    pytest.mark.slow,
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server")
    server.start()
    yield server
    server.stop()


def test_an_outage_loses_nothing_and_doubles_nothing(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    journal = JournalWriter(tmp_path / "journal", "driver")
    journal.run({"experiment": "people", "key": "people/r1", "name": "r1", "tags": {}})
    shipper = Shipper(tmp_path / "journal", mlflow_server.tracking)
    shipper.start()
    for step in range(1, 101):
        journal.metrics(step, {"train/loss": 1 / step})
    assert shipper.drain(30)
    run_id = shipper.run_id

    mlflow_server.stop()
    for step in range(101, 201):
        journal.metrics(step, {"train/loss": 1 / step})
    journal.artifact(journal.path)
    journal.status("FINISHED")
    assert not shipper.drain(1)
    # A request is repeated a few times before anybody is told.
    deadline = time.monotonic() + 30
    while shipper.problem is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    mlflow_server.start()
    assert shipper.drain(60)
    shipper.close()
    journal.close()
    assert run_id is not None
    client = connect(mlflow_server.tracking)
    history = client.get_metric_history(run_id, "train/loss")
    assert [metric.step for metric in history] == list(range(1, 201))
    assert client.get_run(run_id).info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(run_id)] == [journal.path.name]


def test_a_model_is_registered_and_brought_back(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    from distrain.track.pyfunc_model import build_pyfunc

    server = mlflow_server.tracking
    client = connect(server)
    experiment = client.create_experiment("people")
    run_id = client.create_run(experiment).info.run_id
    packaged = save_example(tmp_path / "packaged", people_transform())
    build_pyfunc(tmp_path / "mlflow", packaged, people(3))
    facts = ModelFacts("people", "people/r1", run_id, experiment)

    version = register_version(
        client, server, tmp_path / "mlflow", facts, alias="champion", asked_ms=0
    )

    assert find_version(server, "models:/people@champion").version == version.version
    folder = download_model(server, version, tmp_path / "here")
    (found,) = folder.glob("data/*/model.json")
    rows = people(30)
    expected = Predictor.load(packaged).predict(rows)
    assert Predictor.load(found.parent).predict(rows).equals(expected)
