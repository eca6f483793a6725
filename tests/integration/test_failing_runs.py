"""Runs that fail after they have begun: exit code 1, told in the result, recorded as failed."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any, final

import pytest

from tests.bad_cases import QUICK, Case, net, run
from tests.command_line import Ended, told

pytestmark = pytest.mark.usefixtures("ray_local")

# Rank 1 takes two parts a step, so that its fifth forward is in its third step.
NET = """
import signal

import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 2)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            FAULT
        return self.layer(x)
"""
RAISING = NET.replace("FAULT", 'assert self.calls < 5, "the fifth call"')
# The process ends in the third step of every attempt.
DYING = NET.replace("FAULT", "if self.calls == 5: signal.raise_signal(signal.BY)")


# Four parts a step, so that the tenth call is in the third step.
NO_NUMBER = """
import torch

calls = 0

def loss(outputs, targets):
    global calls
    calls += 1
    rows = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
    return rows if calls < 10 else rows * float("nan")
"""


@final
class Failed:
    """A failed run: what the command said, and what lies in its storage."""

    def __init__(self, ended: Ended, storage: Path) -> None:
        assert ended.code == 1, ended.stderr
        assert ended.stdout.count("\n") == 1
        self.stderr = ended.stderr
        self.fields: dict[str, Any] = json.loads(ended.stdout)
        self.error: dict[str, str] = self.fields["error"]
        self.run_dir = Path(self.fields["run_dir"])
        self.storage = storage

    def check_record(self) -> None:
        """Check what holds for every failed run."""
        assert self.fields["status"] == "failed"
        assert self.fields["model"] is None
        assert self.fields["weights_sha256"] is None
        assert f"error: {told(self.error)}\n" in self.stderr
        assert json.loads((self.run_dir / "result.json").read_text()) == self.fields
        assert not (self.run_dir / "model").exists()
        assert "Failed at step" in (self.run_dir / "report.html").read_text(encoding="utf-8")
        found = {path.name for path in self.storage.iterdir()}
        assert found == {"prepared", "mlflow.db", "mlflow.db.lock", "mlartifacts", "run"}
        assert not list(self.storage.glob("prepared/.*"))
        assert self.recorded() == [(self.fields["run_id"], "FAILED", told(self.error))]

    def recorded(self) -> list[tuple[str, str, str]]:
        """Return id, status and error of all runs in MLflow's database."""
        query = (
            "SELECT runs.run_uuid, status, value FROM runs JOIN tags ON "
            "tags.run_uuid = runs.run_uuid AND key = 'distrain.error'"
        )
        connection = sqlite3.connect(self.storage / "mlflow.db")
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


def fail(folder: Path, case: Case) -> Failed:
    failed = Failed(run(folder, case), folder / "runs")
    failed.check_record()
    return failed


@pytest.mark.slow
def test_a_loss_that_becomes_nan_is_told_with_its_step(tmp_path: Path) -> None:
    words = ("train.loss={target: 'net:loss'}", "train.global_batch_size=16", *QUICK)

    failed = fail(tmp_path, net(NO_NUMBER, words=words))

    assert failed.error["message"].startswith("the loss is nan, from rows ")
    assert failed.error["where"].startswith("step 3, epoch 1, logical shards ")
    assert "train.optimizer.lr" in failed.error["mend"]
    assert not list(failed.run_dir.glob("checkpoints/*"))


@pytest.mark.slow
def test_an_exception_in_the_user_s_code_is_told_with_rank_step_and_log(tmp_path: Path) -> None:
    words = ("model.target=net:Net", "train.num_workers=2", "train.global_batch_size=16")

    failed = fail(tmp_path, net(RAISING, words=words))

    log = failed.run_dir / "logs" / "rank-1.txt"
    assert failed.error["message"] == "AssertionError: the fifth call"
    assert failed.error["where"] == "worker of rank 1, step 3"
    assert failed.error["mend"] == f"The traceback is in {log}"
    assert 'assert self.calls < 5, "the fifth call"' in log.read_text()


@pytest.mark.slow
def test_a_training_split_smaller_than_a_batch_is_one_batch(tmp_path: Path) -> None:
    ended = run(tmp_path, Case(("train.global_batch_size=4096", *QUICK), ()))

    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["step"] == 1


@pytest.mark.slow
@pytest.mark.long
def test_a_worker_that_crashes_twice_at_one_step_ends_the_run(tmp_path: Path) -> None:
    words = ("model.target=net:Net", "train.num_workers=2", "train.global_batch_size=16")

    failed = fail(tmp_path, net(DYING.replace("BY", "SIGSEGV"), words=words))

    crash = "the worker's process crashed: SIGSEGV"
    assert failed.error["message"] == f"{crash}, twice after step 2"
    assert f"worker of rank 1, after step 2: {crash}; training goes on" in failed.stderr


@pytest.mark.slow
def test_a_worker_that_dies_thrice_at_one_step_ends_the_run_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    words = ("model.target=net:Net", "train.num_workers=2", "train.global_batch_size=16")
    before = _open_files()

    failed = fail(tmp_path, net(DYING.replace("BY", "SIGKILL"), words=words))

    assert failed.error["message"].endswith("three times after step 2")
    assert "native code" in failed.error["mend"] or "is gone" in failed.error["message"]
    assert "training goes on from the newest checkpoint" in failed.stderr
    # Before the metrics store and the like were first used there were fewer of its own.
    assert [path for path in _open_files() - before if str(failed.run_dir) in path] == []
    assert _actors_alive() == []


# One of each for the whole of a Ray, whoever uses it.
OF_RAY_ITSELF = ("_StatsActor", "_AutoscalingCoordinatorActor")


def _open_files() -> set[str]:
    links = Path("/proc/self/fd").iterdir()
    return {str(link.readlink()) for link in links if link.is_symlink()}


def _actors_alive() -> list[str]:
    """Return the classes of the actors that Ray still has, once they had a moment to leave."""
    import ray

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        actors = ray._private.state.actors().values()
        names = [actor["ActorClassName"] for actor in actors if actor["State"] != "DEAD"]
        alive = [name for name in names if name not in OF_RAY_ITSELF]
        if not alive:
            break
        time.sleep(0.2)
    return alive
