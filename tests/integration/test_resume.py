"""`distrain resume` as a whole: the same bits and the same record, whatever ended the driver."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import pyarrow.parquet as pq
import pytest

from distrain.run_folder import CONFIG
from tests.bad_cases import PEOPLE
from tests.command_line import Ended, run_in_process

pytestmark = pytest.mark.slow

STEPS_PER_EPOCH = 3
EPOCHS = 4

# Files beside it make it slow enough to be killed in the middle, or fail there: the environment
# of a driver does not reach the workers of a Ray that was there before.
NET = """
import pathlib, time, torch

def number(name):
    path = pathlib.Path(__file__).with_name(name)
    return float(path.read_text()) if path.exists() else 0

class Net(torch.nn.Module):
    def __init__(self, width=5):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, width), torch.nn.Dropout(0.2), torch.nn.Linear(width, 2)
        )
        self.calls = 0
        self.pause_s, self.raises_at = number("pause_s"), number("raises_at")

    def forward(self, x):
        time.sleep(self.pause_s)
        self.calls += self.training
        if self.training and self.calls == self.raises_at:
            raise ValueError("a mistake in the model")
        return self.layers(x)
"""
RUN = f"""
data: {{source: people.csv, target: income}}
model: {{target: "net:Net"}}
train:
  epochs: {EPOCHS}
  global_batch_size: 16
  num_workers: 1
  ledger: true
  checkpoint: {{every_steps: 2}}
track: {{every_steps: 1, register: {{alias: champion}}}}
"""


@final
class Storage:
    """A folder with a configuration, data and a model, and the runs that come of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, content in {"people.csv": PEOPLE, "net.py": NET, "run.yaml": RUN}.items():
            (folder / name).write_text(content)

    def do(self, *words: str) -> Ended:
        """Run a command with `--json`."""
        return run_in_process([*words, "--json"], self.folder)

    def fail(self) -> Ended:
        """Train until the model raises in the second epoch."""
        (self.folder / "raises_at").write_text("20")
        ended = self.do("train", "run.yaml")
        (self.folder / "raises_at").unlink()
        assert ended.code == 1, ended.stderr
        return ended

    def result(self, *words: str) -> dict[str, Any]:
        """Run a command that comes to a good end and return its object."""
        ended = self.do(*words)
        assert ended.code == 0, ended.stderr
        fields: dict[str, Any] = json.loads(ended.stdout)
        return fields

    def query(self, text: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask MLflow's database."""
        connection = sqlite3.connect(self.folder / "runs" / "mlflow.db")
        try:
            return connection.execute(text, values).fetchall()
        finally:
            connection.close()


def check_same_run(storage: Storage, result: dict[str, Any], straight: dict[str, Any]) -> None:
    """Check that a run that was cut off is recorded as one that ran through."""
    own = ("weights_sha256", "metrics", "step", "epoch", "status", "tracking", "dataset_digest")
    assert {key: result[key] for key in own} == {key: straight[key] for key in own}
    run_id = result["run_id"]
    assert storage.query("SELECT status FROM runs WHERE run_uuid = ?", run_id) == [("FINISHED",)]
    curve = (
        "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND key NOT LIKE 'time/%' "
        "AND key NOT LIKE 'system/%' ORDER BY key, step"
    )
    assert storage.query(curve, run_id) == storage.query(curve, straight["run_id"])
    faults = (
        "SELECT key, value FROM tags WHERE run_uuid = ? AND "
        "key IN ('distrain.tracking.rejected', 'distrain.broken_bits')"
    )
    assert storage.query(faults, run_id) == []
    ledger = pq.read_table(Path(result["run_dir"]) / "ledger").to_pydict()
    rows = Counter(zip(ledger["epoch"], ledger["row"], strict=True))
    assert set(rows.values()) == {1}
    assert len(rows) == pq.read_table(Path(straight["run_dir"]) / "ledger").num_rows


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return Storage(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def straight(storage: Storage, ray_local: str) -> dict[str, Any]:
    """A run that nothing cuts off."""
    return storage.result("train", "run.yaml")


@pytest.fixture(scope="module")
def mended(storage: Storage, straight: dict[str, Any]) -> dict[str, Any]:
    """A run whose model raised in its second epoch, and was mended."""
    assert "go on with: distrain resume runs/run/" in storage.fail().stderr
    return storage.result("resume", "--last")


def test_a_failed_run_goes_on_after_its_code_was_mended(
    storage: Storage, straight: dict[str, Any], mended: dict[str, Any]
) -> None:
    assert mended["resumed_from_step"] == 4
    check_same_run(storage, mended, straight)


@pytest.mark.usefixtures("straight")
def test_a_run_that_is_done_gives_its_result_again(
    storage: Storage, mended: dict[str, Any]
) -> None:
    ended = storage.do("resume", mended["run_id"])

    assert ended.code == 0
    assert json.loads(ended.stdout) == mended
    assert ended.left == []
    assert "nothing is left to do" in ended.stderr


def test_what_would_be_another_run_is_refused_before_anything_is_started(
    storage: Storage, mended: dict[str, Any]
) -> None:
    ended = storage.do("resume", mended["run_dir"], "seed=1", "train.epochs=9")

    assert ended.code == 2
    assert ended.left == []
    assert "seed = 1 cannot take the place of 0" in json.loads(ended.stdout)["error"]["message"]


def test_a_longer_run_ends_as_if_it_had_been_longer_from_the_start(
    storage: Storage, mended: dict[str, Any]
) -> None:
    words = ("train.epochs=6", "train.num_workers=2")
    straight = storage.result("train", "run.yaml", *words)

    longer = storage.result("resume", mended["run_dir"], *words)

    assert longer["resumed_from_step"] == EPOCHS * STEPS_PER_EPOCH
    assert longer["weights_sha256"] == straight["weights_sha256"]
    assert longer["model"]["version"] != mended["model"]["version"]
    assert "epochs: 6" in (Path(longer["run_dir"]) / CONFIG).read_text()
    tag = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'distrain.resume.3'"
    changes = "train.epochs: 4 -> 6; train.num_workers: 1 -> 2"
    assert storage.query(tag, longer["run_id"]) == [(changes,)]


@pytest.mark.usefixtures("ray_local")
def test_changed_data_and_another_model_are_refused_with_what_differs(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.fail()
    (tmp_path / "people.csv").write_text(PEOPLE.replace("Oslo", "Rome", 1))

    other_data = storage.do("resume", "--last")
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "net.py").write_text(NET.replace("width=5", "width=7"))
    other_model = storage.do("resume", "--last")
    (tmp_path / "net.py").write_text(NET)

    assert other_data.code == other_model.code == 2
    assert f"{tmp_path}/people.csv has changed" in other_data.stderr
    assert "layers.0.weight [5, 6] became [7, 6]" in other_model.stderr
    assert storage.result("resume", "--last")["status"] == "finished"


def test_a_killed_driver_s_run_goes_on_to_the_same_bits(
    storage: Storage, straight: dict[str, Any]
) -> None:
    with slow_driver(storage, pause_s=0.3) as driver:
        run_dir = _wait_for_checkpoint(storage, step=4)
        refused = storage.do("resume", str(run_dir))
        driver.kill()
        driver.wait()
    workers = _workers_of(run_dir)

    result = storage.result("resume", str(run_dir), "train.num_workers=3")

    assert refused.code == 2
    assert f"driven by process {driver.pid}" in refused.stderr
    assert result["resumed_from_step"] >= 4
    check_same_run(storage, result, straight)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


@pytest.mark.long
def test_a_frozen_driver_leaves_its_run_to_who_took_it_over(
    storage: Storage, straight: dict[str, Any]
) -> None:
    with slow_driver(storage, pause_s=1.0) as driver:
        run_dir = _wait_for_checkpoint(storage, step=4)
        driver.send_signal(signal.SIGSTOP)
    # Its workers go on meanwhile, until they find that they may commit nothing more.
    result = storage.result("resume", str(run_dir))
    driver.send_signal(signal.SIGCONT)

    assert driver.wait(timeout=120) == 1
    if result["tracking"] == "pending":
        # It froze in the midst of a transaction, and so kept the database from the other.
        result = storage.result("resume", str(run_dir))
    told = (storage.folder / "driver.txt").read_text()
    assert "the run was taken over by process" in told
    check_same_run(storage, result, straight)
    assert json.loads((run_dir / "result.json").read_text()) == result


@contextmanager
def slow_driver(storage: Storage, pause_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """A driver of its own process, whose workers are slow enough to be met in the middle."""
    (storage.folder / "pause_s").write_text(str(pause_s))
    with (storage.folder / "driver.txt").open("wb") as told:
        driver = subprocess.Popen(
            [Path(sys.executable).parent / "distrain", "train", "run.yaml", "--json"],
            cwd=storage.folder,
            stdout=subprocess.DEVNULL,
            stderr=told,
        )
    try:
        yield driver
    except BaseException:
        driver.kill()
        driver.wait()
        raise
    finally:
        (storage.folder / "pause_s").unlink()


def _wait_for_checkpoint(storage: Storage, step: int) -> Path:
    """Wait until the newest run has committed a step, and return its folder."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = sorted((storage.folder / "runs" / "run").iterdir(), key=lambda path: path.name)
        is_there = (runs[-1] / "checkpoints" / f"step-{step}" / "manifest.json").exists()
        if is_there and not (runs[-1] / "result.json").exists():
            return runs[-1]
        time.sleep(0.05)
    raise AssertionError("no checkpoint was committed in time")


def _workers_of(run_dir: Path) -> list[int]:
    """Return the processes that have a file of the run's folder open."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                opened = [str(link.readlink()) for link in (process / "fd").iterdir()]
            except OSError:
                continue
            found += [int(process.name)] * any(path.startswith(str(run_dir)) for path in opened)
    return found
