"""A real MLflow server that dies, answers that are lost, a shipper that is killed.

Whatever happens, what stands in the server's database at the end is what was recorded: no run
twice, no step missing, none double.
"""

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distrain.track.journal import JournalWriter
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer
from tests.lossy_proxy import LossyProxy
from tests.mlflow_server import MlflowServer

pytestmark = [
    pytest.mark.slow,
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

NUM_OUTAGES = 3
NUM_JOURNALS = 40
NUM_STEPS = 50
MLMODEL = "artifact_path: model\nflavors:\n  python_function: {loader_module: none}\n"
SHIPS = """
import sys
from pathlib import Path
from distrain.track import delivery
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer, connect

delivery.READ_BYTES = 2000
server = TrackingServer(sys.argv[2], None, "track.uri")
client = connect(server)
shipper = Shipper(Path(sys.argv[1]), server, connect_to=lambda _: client)
shipper.start()
print("begun", flush=True)
sys.exit(0 if shipper.drain(100) else 1)
"""


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
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_WHILE_DRAINING_S", 0.02)


def rows(folder: Path, query: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=20)) as database:
        return database.execute(query, values).fetchall()


def steps_of(folder: Path, key: str, run: str) -> list[int]:
    found = rows(
        folder,
        "SELECT m.step FROM metrics m JOIN runs r ON r.run_uuid = m.run_uuid "
        "WHERE m.key = ? AND r.name = ? ORDER BY m.step",
        *(key, run),
    )
    return [step for (step,) in found]


def begin(folder: Path, run: str) -> JournalWriter:
    journal = JournalWriter(folder / "journal", "driver")
    journal.run({"experiment": "drill", "key": f"drill/{run}", "name": run, "tags": {}})
    journal.params({"lr": "0.1"})
    return journal


def wait_for_step(folder: Path, run: str, step: int) -> None:
    deadline = time.monotonic() + 60
    while len(steps_of(folder, "loss", run)) < step:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_is_killed_again_and_again_leaves_no_gap_and_no_double(
    tmp_path: Path, server: MlflowServer, folder: Path
) -> None:
    chance, has_ended = random.Random(1), threading.Event()
    journal = begin(tmp_path, "outages")
    shipper = Shipper(tmp_path / "journal", server.tracking)
    shipper.start()
    num_steps = 0

    def record() -> None:
        nonlocal num_steps
        while not has_ended.wait(0.002):
            num_steps += 1
            journal.metrics(num_steps, {"loss": 1 / num_steps, "rate": 2.0 * num_steps})

    recording = threading.Thread(target=record)
    recording.start()
    known = 0
    for _ in range(NUM_OUTAGES):
        wait_for_step(folder, "outages", known + 1)  # so that it holds new points each time
        time.sleep(chance.uniform(0, 1))
        server.stop()
        known = len(steps_of(folder, "loss", "outages"))
        time.sleep(chance.uniform(0, 1))
        server.start()
    has_ended.set()
    recording.join()
    journal.status("FINISHED")
    assert shipper.drain(120)
    shipper.close()
    journal.close()

    everything = list(range(1, num_steps + 1))
    assert steps_of(folder, "loss", "outages") == everything
    assert steps_of(folder, "rate", "outages") == everything
    assert rows(folder, "SELECT status FROM runs WHERE name = 'outages'") == [("FINISHED",)]


def test_lost_answers_make_no_second_run_point_model_or_version(
    tmp_path: Path, server: MlflowServer, folder: Path
) -> None:
    runs = [f"lossy{number:02}" for number in range(NUM_JOURNALS)]
    for run in runs:
        with begin(tmp_path / run, run) as journal:
            for step in range(1, NUM_STEPS + 1):
                journal.metrics(step, {"loss": 1 / step})
            model = tmp_path / run / "model"
            model.mkdir()
            (model / "MLmodel").write_text(MLMODEL)
            # An alias moves in many requests, all of which have to be answered: minutes for 40.
            alias = "newest" if run == runs[0] else None
            journal.model(model, {"name": "lossy", "key": f"drill/{run}"}, alias)
            journal.status("FINISHED")

    with LossyProxy(server.tracking.uri, 0.3, seed=2) as proxy:
        through = TrackingServer(proxy.uri, None, "track.uri")
        for run in runs:
            shipper = Shipper(tmp_path / run / "journal", through)
            shipper.start()
            assert shipper.drain(120)
            shipper.close()
        assert proxy.num_lost > NUM_JOURNALS

    alive = "lifecycle_stage = 'active' AND name LIKE 'lossy%'"
    found = rows(folder, f"SELECT name, status FROM runs WHERE {alive} ORDER BY name")
    assert found == [(run, "FINISHED") for run in runs]
    everything = list(range(1, NUM_STEPS + 1))
    assert all(steps_of(folder, "loss", run) == everything for run in runs)
    versions = rows(folder, "SELECT count(*), count(DISTINCT run_id) FROM model_versions")
    assert versions == [(NUM_JOURNALS, NUM_JOURNALS)]
    assert rows(folder, "SELECT count(*) FROM logged_models") == [(NUM_JOURNALS,)]
    assert rows(folder, "SELECT alias, version FROM registered_model_aliases") == [("newest", 1)]


def test_a_shipper_that_is_killed_in_the_middle_leaves_no_gap_and_no_double(
    tmp_path: Path, server: MlflowServer, folder: Path
) -> None:
    chance = random.Random(3)
    with begin(tmp_path, "killed") as journal:
        for step in range(1, 3001):
            journal.metrics(step, {"loss": 1 / step})
        journal.status("FINISHED")
    words = [sys.executable, "-c", SHIPS, str(tmp_path / "journal"), server.tracking.uri]

    num_killed = 0
    while True:
        shipper = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert shipper.stdout is not None
        assert shipper.stdout.readline() == b"begun\n"
        if num_killed < NUM_OUTAGES:
            time.sleep(chance.uniform(0, 0.6))
            shipper.send_signal(signal.SIGKILL)
            num_killed += 1
        shipper.stdout.close()
        if shipper.wait() == 0:
            break

    assert steps_of(folder, "loss", "killed") == list(range(1, 3001))
    assert rows(folder, "SELECT status FROM runs WHERE name = 'killed'") == [("FINISHED",)]
