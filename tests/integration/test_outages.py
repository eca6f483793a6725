"""A real MLflow server that dies, answers that are lost, drivers that are killed.

Whatever happens, what stands in the server's database at the end is what was recorded: no run
twice, no step missing, none double.
"""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import read_journal
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer
from tests.lossy_proxy import LossyProxy
from tests.mlflow_server import MlflowServer
from tests.recorded_run import RecordedRun, loss_at

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

NUM_OUTAGES = int(os.environ.get("DISTRAIN_TEST_OUTAGES", "3"))  # `make chaos`: ten
LOST_FRACTION = 0.3
NUM_JOURNALS = 20
NUM_ALIASES = 5
NUM_STEPS = 50
MODEL_FILES = {
    "MLmodel": "artifact_path: model\nflavors:\n  python_function: {loader_module: none}\n",
    "requirements.txt": "torch\n",
    "data/packaged/model.json": "{}",
    "data/packaged/weights.safetensors": "w",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[MlflowServer]:
    made = MlflowServer(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_S", 1.0)


def rows(folder: Path, query: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=20)) as database:
        return database.execute(query, values).fetchall()


def history(folder: Path, key: str, run: str) -> list[tuple[int, float]]:
    return rows(
        folder,
        "SELECT m.step, m.value FROM metrics m JOIN runs r ON r.run_uuid = m.run_uuid "
        "WHERE m.key = ? AND r.name = ? ORDER BY m.step",
        *(key, run),
    )


def wait_for_points(folder: Path, run: str, num_points: int) -> None:
    deadline = time.monotonic() + 180
    while len(history(folder, "loss", run)) < num_points:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_server_and_driver_killed_again_and_again_leave_the_history_of_an_undisturbed_run(
    tmp_path: Path, server: MlflowServer, folder: Path
) -> None:
    chance = random.Random(1)
    known = 0
    with LossyProxy(server.tracking.uri, LOST_FRACTION, seed=4) as proxy:
        run = RecordedRun(tmp_path / "drill", proxy.uri)
        run.start()
        for _ in range(NUM_OUTAGES):
            wait_for_points(folder, "drill", known + 1)  # so that it holds new ones each time
            time.sleep(chance.uniform(0, 1))
            server.stop()
            known = len(history(folder, "loss", "drill"))
            time.sleep(chance.uniform(0, 0.5))
            run.kill()
            run.start()
            server.start()
        assert proxy.num_lost > NUM_OUTAGES
        assert run.finish() == 0

    recorded, _ = read_journal(tmp_path / "drill" / "journal", {})
    num_steps = max(record.payload["step"] for record in recorded if record.kind == "metrics")
    steps = range(1, num_steps + 1)
    assert history(folder, "loss", "drill") == [(step, loss_at(step)) for step in steps]
    assert history(folder, "rate", "drill") == [(step, 2.0 * step) for step in steps]
    found = rows(folder, "SELECT name, status FROM runs WHERE lifecycle_stage = 'active'")
    assert found == [("drill", "FINISHED")]
    outcome = "SELECT value FROM tags WHERE key = 'distrain.outcome'"
    assert rows(folder, outcome) == [("finished",)]


def test_lost_answers_make_no_second_run_point_model_or_version(
    tmp_path: Path, server: MlflowServer, folder: Path
) -> None:
    runs = [f"lossy{number:02}" for number in range(NUM_JOURNALS)]
    for number, run in enumerate(runs):
        record_with_model(tmp_path / run, "newest" if number < NUM_ALIASES else None)

    with LossyProxy(server.tracking.uri, LOST_FRACTION, seed=2) as proxy:
        through = TrackingServer(proxy.uri, None, "track.uri")
        for run in runs:
            ship(tmp_path / run, through)
        assert proxy.num_lost > NUM_JOURNALS

    alive = "lifecycle_stage = 'active' AND name LIKE 'lossy%'"
    found = rows(folder, f"SELECT name, status FROM runs WHERE {alive} ORDER BY name")
    assert found == [(run, "FINISHED") for run in runs]
    steps = range(1, NUM_STEPS + 1)
    expected = [(step, loss_at(step)) for step in steps]
    assert all(history(folder, "loss", run) == expected for run in runs)
    versions = rows(folder, "SELECT count(*), count(DISTINCT run_id) FROM model_versions")
    assert versions == [(NUM_JOURNALS, NUM_JOURNALS)]
    assert rows(folder, "SELECT count(*) FROM logged_models") == [(NUM_JOURNALS,)]
    held = rows(folder, "SELECT alias, version FROM registered_model_aliases")
    assert held == [("newest", 1)]  # what the others asked for before that was made is old news
    stored = list((folder / "artifacts").rglob("weights.safetensors"))
    assert len(stored) == 2 * NUM_JOURNALS  # of the run, and of the model


def record_with_model(run_dir: Path, alias: str | None) -> None:
    run = run_dir.name
    with JournalWriter(run_dir / "journal", "driver") as journal:
        journal.run({"experiment": "drill", "key": f"drill/{run}", "name": run, "tags": {}})
        journal.params({"lr": "0.1"})
        for step in range(1, NUM_STEPS + 1):
            journal.metrics(step, {"loss": loss_at(step)})
        for name, content in MODEL_FILES.items():
            path = run_dir / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        journal.artifact(run_dir / "model" / "data", "kept")
        journal.model(run_dir / "model", {"name": "drill", "key": f"drill/{run}"}, alias)
        journal.status("FINISHED")


def ship(run_dir: Path, server: TrackingServer) -> None:
    shipper = Shipper(run_dir / "journal", server)
    shipper.start()
    assert shipper.drain(120)
    shipper.close()
