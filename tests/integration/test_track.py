"""Recording and registering on a real MLflow database in SQLite."""

import random
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from distrain.errors import ConfigError, ModelError, TrackingError
from distrain.track.aliases import Move, move_alias, move_to_undo
from distrain.track.journal import JournalWriter
from distrain.track.model_versions import RegisteredVersion, download_model, find_version
from distrain.track.packaged import Predictor
from distrain.track.reachable import check_reachable
from distrain.track.registry import ModelFacts, register_version
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import (
    TrackingServer,
    connect,
    resolve_tracking_uri,
    tracking_uri_of,
)
from distrain.track.user_code import find_user_code
from distrain.track.watermark import WATERMARK, Watermark
from tests.example_models import people, people_transform, save_example

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

DATASET = {
    "name": "people",
    "digest": "ab" * 32,
    "sources": ["/data/people.csv"],
    "schema": {"age": "long", "work": "string"},
    "splits": {"train": 80, "validation": 10, "test": 10},
    "tensors": {"x": {"dtype": "float32", "shape": [7]}},
}
MODEL = {
    "name": "people",
    "key": "people/registered",
    "tags": {"distrain.seed": "7", "distrain.weights_sha256": "ff", "mlflow.user": "ann"},
    "params": {"model.name": "mlp"},
    "description": "**a description**",
    "dataset_name": "people",
    "dataset_digest": "ab" * 32,
    "test_metrics": ["test/accuracy"],
}


@pytest.fixture(scope="module")
def storage(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(fresh, tmp_path_factory.mktemp("of-all") / "runs")


@pytest.fixture(scope="module")
def server(storage: Path) -> TrackingServer:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return resolve_tracking_uri(None, storage)


@pytest.fixture(scope="module")
def client(server: TrackingServer) -> "MlflowClient":
    return connect(server)


def record_run(folder: Path, run: str, num_steps: int = 40) -> JournalWriter:
    journal = JournalWriter(folder / "journal", "driver")
    tags = {"mlflow.user": "ann", "distrain.seed": "7"}
    journal.run({"experiment": "people", "key": f"people/{run}", "name": run, "tags": tags})
    journal.params({"train.optimizer.lr": "0.001", "model.name": "mlp"})
    journal.dataset(DATASET)
    for step in range(1, num_steps + 1):
        journal.metrics(step, {"train/loss": 1 / step, "train/lr": 0.001})
    journal.metrics(num_steps, {"test/accuracy": 0.75})
    return journal


def ship(folder: Path, server: TrackingServer, connect_to: Any = connect) -> tuple[str, bool]:
    shipper = Shipper(folder / "journal", server, connect_to=connect_to)
    shipper.start()
    is_complete = shipper.drain(60)
    shipper.close()
    return str(shipper.run_id), is_complete


def register(
    client: Any,
    server: TrackingServer,
    model: Path,
    facts: ModelFacts,
    alias: str | None = None,
) -> RegisteredVersion:
    return register_version(client, server, model, facts, alias=alias, asked_ms=1)


class Unreliable:
    """A client of whose requests, or the answers to them, every third is lost."""

    def __init__(self, client: Any, seed: int) -> None:
        self._client = client
        self._chance = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            if self._chance.random() < 0.15:
                raise ConnectionError(f"the request {name} was lost")
            answer = getattr(self._client, name)(*args, **named)
            if self._chance.random() < 0.2:
                raise ConnectionError(f"the answer to {name} was lost")
            return answer

        return call


def test_a_run_is_recorded_whole(
    tmp_path: Path, server: TrackingServer, client: "MlflowClient", storage: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("seed: 7\n")
    journal = record_run(tmp_path, "whole")
    journal.artifact(config)
    journal.status("FINISHED")
    journal.close()

    run_id, is_complete = ship(tmp_path, server)

    assert is_complete
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("whole", "FINISHED")
    assert run.info.end_time >= run.info.start_time
    assert run.data.params == {"train.optimizer.lr": "0.001", "model.name": "mlp"}
    assert run.data.tags["mlflow.user"] == "ann"
    history = client.get_metric_history(run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [
        (step, 1 / step) for step in range(1, 41)
    ]
    inputs = {i.dataset.name: i.tags[0].value for i in run.inputs.dataset_inputs}
    assert inputs == {
        "people/train": "training",
        "people/validation": "validation",
        "people/test": "test",
    }
    assert {i.dataset.digest for i in run.inputs.dataset_inputs} == {"ab" * 16}
    assert run.info.artifact_uri.startswith((storage / "mlartifacts" / "people").as_uri())
    assert [file.path for file in client.list_artifacts(run_id)] == ["config.yaml"]


def test_lost_requests_and_answers_leave_no_gaps_and_no_doubles(
    tmp_path: Path,
    server: TrackingServer,
    client: "MlflowClient",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_WHILE_DRAINING_S", 0.01)
    monkeypatch.setattr("distrain.track.patient.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("distrain.track.delivery.READ_BYTES", 500)
    journal = record_run(tmp_path, "unreliable")
    journal.status("FINISHED")
    journal.close()

    run_id, is_complete = ship(tmp_path, server, lambda _: Unreliable(client, seed=3))
    (tmp_path / "journal" / WATERMARK).unlink()
    again, _ = ship(tmp_path, server, lambda _: Unreliable(client, seed=4))

    assert is_complete
    assert again == run_id
    assert len(client.get_metric_history(run_id, "train/loss")) == 40
    found = client.search_runs(
        [client.get_run(run_id).info.experiment_id], "tags.`distrain.key` = 'people/unreliable'"
    )
    assert len(found) == 1
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_deleted_experiment_is_restored(
    tmp_path: Path, server: TrackingServer, client: "MlflowClient"
) -> None:
    deleted = client.create_experiment("deleted", (tmp_path / "files").as_uri())
    client.delete_experiment(deleted)
    with JournalWriter(tmp_path / "journal", "driver") as journal:
        journal.run({"experiment": "deleted", "key": "deleted/r", "name": "r", "tags": {}})
    run_id, is_complete = ship(tmp_path, server)
    assert is_complete
    assert client.get_run(run_id).info.experiment_id == deleted


_STARTS_AT_ONCE = """
import sys
from pathlib import Path
from distrain.track.journal import JournalWriter
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer

storage, name = Path(sys.argv[1]), sys.argv[2]
with JournalWriter(storage / name / "journal", "driver") as journal:
    journal.run({"experiment": "e", "key": f"e/{name}", "name": name, "tags": {}})
    journal.metrics(1, {"loss": 0.5})
    journal.artifact(Path(journal.path))
    journal.status("FINISHED")
server = TrackingServer(f"sqlite:///{storage}/mlflow.db", storage / "mlartifacts", "storage")
shipper = Shipper(storage / name / "journal", server)
shipper.start()
sys.exit(0 if shipper.drain(60) else 1)
"""


@pytest.mark.slow
def test_processes_may_make_the_database_at_once_and_say_nothing(
    tmp_path: Path,
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _STARTS_AT_ONCE, str(tmp_path), f"r{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        for number in range(3)
    ]
    outputs = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs == [b"", b"", b""]
    assert not (tmp_path / "mlruns").exists()
    found = connect(TrackingServer(f"sqlite:///{tmp_path}/mlflow.db", None, "storage"))
    experiment = found.get_experiment_by_name("e")
    assert len(found.search_runs([experiment.experiment_id])) == 3


def test_a_database_that_mlflow_made_is_good(
    client: "MlflowClient", server: TrackingServer, storage: Path
) -> None:
    assert client.search_experiments()
    check_reachable(server)
    assert tracking_uri_of(storage) == server.uri


def test_a_database_of_a_newer_mlflow_is_told(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('0000000000')")
    database.close()
    with pytest.raises(TrackingError, match=r"database cannot be used.*of a newer MLflow"):
        connect(TrackingServer(f"sqlite:///{tmp_path}/mlflow.db", None, "storage"))


class Registered:
    """A model that was registered for all tests of this module.

    Attributes:
        packaged: the packaged model's folder.
        pyfunc: the MLflow model's folder.
        facts: what it was registered with.
        version: what came of it.
    """

    def __init__(
        self, packaged: Path, pyfunc: Path, facts: ModelFacts, version: RegisteredVersion
    ) -> None:
        self.packaged = packaged
        self.pyfunc = pyfunc
        self.facts = facts
        self.version = version


@pytest.fixture(scope="module")
def registered(
    tmp_path_factory: pytest.TempPathFactory, server: TrackingServer, client: "MlflowClient"
) -> Registered:
    from distrain.track.pyfunc_model import build_pyfunc

    folder = tmp_path_factory.mktemp("registered")
    record_run(folder, "registered").close()
    run_id, _ = ship(folder, server)
    packaged = save_example(folder / "packaged", people_transform())
    build_pyfunc(folder / "mlflow", packaged, people(10))
    experiment_id = client.get_run(run_id).info.experiment_id
    facts = ModelFacts(**MODEL, run_id=run_id, experiment_id=experiment_id)  # type: ignore[arg-type]
    version = register(client, server, folder / "mlflow", facts, alias="champion")
    return Registered(packaged, folder / "mlflow", facts, version)


def test_a_version_names_its_origin(registered: Registered, client: "MlflowClient") -> None:
    version = client.get_model_version_by_alias("people", "champion")
    assert str(version.version) == registered.version.version
    assert version.run_id == registered.facts.run_id
    assert version.tags == {
        "distrain.seed": "7",
        "distrain.weights_sha256": "ff",
        "distrain.key": "people/registered",
    }
    assert version.description.startswith("**a description**\n\n**champion** since ")
    assert version.source.startswith("models:/m-")
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert str(model.status) == "READY"
    assert [(m.key, m.value, m.dataset_name, m.dataset_digest) for m in model.metrics] == [
        ("test/accuracy", 0.75, "people/test", "ab" * 16)
    ]
    run = client.get_run(registered.facts.run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert len(client.get_metric_history(registered.facts.run_id, "test/accuracy")) == 1


def test_registering_again_makes_no_second_version(
    registered: Registered, server: TrackingServer, client: "MlflowClient"
) -> None:
    again = register(client, server, registered.pyfunc, registered.facts)
    assert again.version == registered.version.version
    assert len(client.search_model_versions("name = 'people'")) == 1


@pytest.mark.slow
def test_lost_answers_make_no_second_run_model_or_version(
    tmp_path: Path,
    registered: Registered,
    server: TrackingServer,
    client: "MlflowClient",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_WHILE_DRAINING_S", 0.001)
    monkeypatch.setattr("distrain.track.patient.FIRST_PAUSE_S", 0.001)
    facts = {**MODEL, "name": "other", "key": "people/other"}
    shutil.copytree(registered.pyfunc, tmp_path / "model")
    journal = record_run(tmp_path, "other", num_steps=3)
    journal.model(tmp_path / "model", facts, "champion")
    journal.status("FINISHED")
    journal.close()

    run_id, is_complete = ship(tmp_path, server, lambda _: Unreliable(client, seed=2))

    assert is_complete
    (version,) = client.search_model_versions("name = 'other'")
    assert version.run_id == run_id
    assert client.get_registered_model("other").aliases == {"champion": version.version}
    experiment = client.get_run(run_id).info.experiment_id
    keyed = "tags.`distrain.key` = 'people/other'"
    assert len(client.search_logged_models([experiment], filter_string=keyed)) == 1
    assert Watermark.load(tmp_path / "journal").versions == {
        "people/other": ["other", "1", "champion"]
    }


def test_an_alias_that_has_moved_on_stays(
    registered: Registered, server: TrackingServer, client: "MlflowClient"
) -> None:
    old_news = replace(registered.facts, key="people/older")
    version = register(client, server, registered.pyfunc, old_news, alias="champion")

    assert version.alias is None
    holder = client.get_model_version_by_alias("people", "champion")
    assert str(holder.version) == registered.version.version
    client.delete_model_version("people", version.version)


def test_a_move_that_was_taken_back_is_not_made_again_by_the_same_request(
    registered: Registered, server: TrackingServer, client: "MlflowClient"
) -> None:
    newer = replace(
        registered.facts,
        key="people/newer",
        tags={**registered.facts.tags, "distrain.gate.holder": registered.version.version},
    )

    def ship_again(asked_ms: int) -> RegisteredVersion:
        return register_version(
            client, server, registered.pyfunc, newer, alias="champion", asked_ms=asked_ms
        )

    version = ship_again(5)
    assert version.alias == "champion"
    found = move_to_undo(client, "people", "champion")
    assert found is not None
    number, before = found
    back = Move("champion", version.version, before.from_version, undoes=number)
    assert move_alias(client, "people", back) is None

    assert ship_again(5) == replace(version, alias=None)
    holder = client.get_model_version_by_alias("people", "champion")
    assert str(holder.version) == registered.version.version
    assert ship_again(6).alias == "champion"
    move_alias(client, "people", back)
    client.delete_model_version("people", version.version)


def test_a_version_is_found_by_an_alias_that_it_was_given_later(
    registered: Registered, server: TrackingServer, client: "MlflowClient"
) -> None:
    client.set_registered_model_alias("people", "later", registered.version.version)
    assert find_version(server, "models:/people@later").version == registered.version.version
    client.delete_registered_model_alias("people", "later")


@pytest.mark.parametrize("uri", ["@champion", "/1", "/latest", ""])
def test_a_version_is_found(registered: Registered, server: TrackingServer, uri: str) -> None:
    found = find_version(server, f"models:/people{uri}")
    assert (found.name, found.version) == ("people", registered.version.version)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/peple@champion", "no registered model 'peple'.*Did you mean 'people'"),
        ("models:/people@champoin", "no alias 'champoin'.*Did you mean 'champion'"),
        ("models:/people/9", "no version 9.*newest is 1"),
        ("people@champion", "no model URI"),
    ],
)
@pytest.mark.usefixtures("registered")
def test_a_version_that_is_not_there_is_told(
    server: TrackingServer, uri: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        find_version(server, uri)
    assert caught.value.where
    assert caught.value.expected
    assert caught.value.mend


def test_a_version_can_be_brought_here(
    registered: Registered, server: TrackingServer, tmp_path: Path
) -> None:
    folder = download_model(server, registered.version, tmp_path)
    (packaged,) = folder.glob("data/*/model.json")
    rows = people(20)
    assert (
        Predictor.load(packaged.parent)
        .predict(rows)
        .equals(Predictor.load(registered.packaged).predict(rows))
    )


def test_nothing_is_pickled(registered: Registered) -> None:
    files = sorted(path.relative_to(registered.pyfunc) for path in registered.pyfunc.rglob("*.*"))
    assert [path.as_posix() for path in files] == [
        "code/distrain_loader.py",
        "code/distrain_sources.zip",
        "conda.yaml",
        "data/packaged/model.json",
        "data/packaged/model.safetensors",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]
    required = (registered.pyfunc / "requirements.txt").read_text().splitlines()
    assert all("==" in line and "+" not in line for line in required)


_LOADS_PLAINLY = """
import importlib.util, sys
from pathlib import Path

if sys.argv[4] == "absent":
    sys.path = [p for p in sys.path if not (Path(p) / "distrain").is_dir()]
    sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
    assert importlib.util.find_spec("distrain") is None
import mlflow
import pandas as pd

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/people@champion")
rows = pd.read_csv(sys.argv[2])
predictions = model.predict(rows)
predictions.to_pickle(sys.argv[3])
one = model.predict(rows.head(1))
assert one.equals(predictions.head(1))
assert model.predict(rows.head(2).to_dict("records")).equals(predictions.head(2))
whole = rows[rows["age"].notna()].astype({"age": "int64"})
assert model.predict(whole).equals(predictions[rows["age"].notna()])
assert len(model.input_example) == 3
"""


@pytest.mark.slow
def test_plain_mlflow_predicts_the_raw_file_to_the_last_bit(
    registered: Registered, server: TrackingServer, tmp_path: Path
) -> None:
    rows = people(1500, seed=1)
    rows.to_pandas().to_csv(tmp_path / "rows.csv", index=False)
    processes = {
        found: subprocess.Popen(
            [
                *(sys.executable, "-c", _LOADS_PLAINLY),
                *(server.uri, str(tmp_path / "rows.csv"), str(tmp_path / found), found),
            ],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
        )
        for found in ("installed", "absent")
    }
    expected = Predictor.load(registered.packaged).predict(rows).to_pandas()
    for found, process in processes.items():
        told = process.communicate(timeout=100)[1]
        assert process.returncode == 0, told.decode()
        pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / found), expected, check_exact=True)


def test_a_model_that_predicts_by_chance_is_not_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distrain.track.pyfunc_model import build_pyfunc

    code = """
        import torch

        class Net(torch.nn.Linear):
            def __init__(self):
                super().__init__(7, 2)

            def forward(self, x):
                return super().forward(x) + torch.rand(2)
    """
    (tmp_path / "chance_net.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(str(tmp_path))
    target = "chance_net:Net"
    packaged = save_example(
        tmp_path / "m",
        people_transform(),
        {"target": target, "args": {}},
        user_code=find_user_code(target),
    )
    with pytest.raises(ModelError, match="predicts something else"):
        build_pyfunc(tmp_path / "mlflow", packaged, people(3))
