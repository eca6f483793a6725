"""How busy the machines of a run were, as its page at MLflow shows it."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bad_cases import PEOPLE
from tests.chaos.cluster import ChaosCluster

pytestmark = pytest.mark.slow

MARK = "DISTRAIN_TEST_MARK"
NET = """
import pathlib, time, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 2)
        self.calls = 0
        self.has_fault = pathlib.Path(__file__).with_name("has_fault").exists()

    def forward(self, x):
        time.sleep(0.2)
        self.calls += self.training
        if self.has_fault and self.calls == 15:
            raise ValueError("a mistake in the model")
        return self.layer(x)
"""
RUN = """
data: {source: people.csv, target: income}
model: {target: "net:Net"}
train: {epochs: 4, global_batch_size: 16, num_workers: 2, checkpoint: {every_steps: 2}}
track: {system_metrics_every_s: 1}
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChaosCluster]:
    """Two nodes, of which each has room for one worker; their processes carry a mark."""
    monkeypatch.setenv(MARK, uuid.uuid4().hex)
    cluster = ChaosCluster(1, 1)
    yield cluster
    cluster.shutdown()


def distrain(folder: Path, *words: str, may_kill: bool = False) -> tuple[dict[str, Any], set[int]]:
    """Run a command; return its result, and the processes of samplers that there were meanwhile.

    With `may_kill` the first of them is killed, as for want of memory.
    """
    command = [Path(sys.executable).parent / "distrain", *words, "--json"]
    seen: set[int] = set()
    with (folder / "stdout.txt").open("w") as stdout:
        driver = subprocess.Popen(command, cwd=folder, stdout=stdout, stderr=subprocess.DEVNULL)
        while driver.poll() is None:
            found = samplers()
            if may_kill and found and not seen:
                os.kill(min(found), signal.SIGKILL)
            seen |= found
            time.sleep(0.2)
    return json.loads((folder / "stdout.txt").read_text()), seen


def history(folder: Path, run_id: str) -> dict[str, list[tuple[int, float, int]]]:
    """Return step, value and time in ms of each metric of the system, by step."""
    connection = sqlite3.connect(folder / "runs" / "mlflow.db")
    query = "SELECT key, step, value, timestamp FROM metrics WHERE run_uuid = ? ORDER BY step"
    found: dict[str, list[tuple[int, float, int]]] = {}
    for key, *row in connection.execute(query, [run_id]):
        if key.startswith("system/"):
            found.setdefault(key, []).append(tuple(row))
    connection.close()
    return found


def machines(folder: Path, run_id: str) -> dict[str, str]:
    """Return the tags that say which machine is which."""
    connection = sqlite3.connect(folder / "runs" / "mlflow.db")
    query = "SELECT key, value FROM tags WHERE run_uuid = ? AND key LIKE 'distrain.node.%'"
    found = dict(connection.execute(query, [run_id]))
    connection.close()
    return found


def samplers() -> set[int]:
    """Return the processes of this test's cluster that are actors of Ray that measure a node."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                is_sampler = (process / "cmdline").read_bytes().startswith(b"ray::NodeUsage")
                if is_sampler and mark in (process / "environ").read_bytes().split(b"\0"):
                    found.add(int(process.name))
            except OSError:
                continue  # it has just ended, or is another user's
    return found


@pytest.mark.long
def test_each_node_of_a_run_has_its_metrics_and_a_resume_goes_on_with_them(
    tmp_path: Path, cluster: ChaosCluster
) -> None:
    for name, content in {"people.csv": PEOPLE, "net.py": NET, "run.yaml": RUN}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "has_fault").touch()
    started_ms = time.time() * 1000
    address = f"cluster.address={cluster.address}"

    failed, first = distrain(tmp_path, "train", "run.yaml", address)
    after_failure = history(tmp_path, failed["run_id"])
    (tmp_path / "has_fault").unlink()
    resumed, second = distrain(tmp_path, "resume", "--last", address, may_kill=True)

    assert (failed["status"], resumed["status"]) == ("failed", "finished")
    assert (len(first), len(second)) == (1, 2)  # the other node is that of the driver
    assert samplers() == set()
    found = history(tmp_path, resumed["run_id"])
    nodes = {key.split("/")[1] for key in found}
    assert nodes == {"node_0", "node_1"}
    own = socket.gethostname()
    assert machines(tmp_path, resumed["run_id"]) == {"distrain.node.0": own, "distrain.node.1": own}
    for node in nodes:
        of_cpu = f"system/{node}/cpu_utilization_percentage"
        assert 0 < len(after_failure[of_cpu]) < len(found[of_cpu])
        assert found[of_cpu][: len(after_failure[of_cpu])] == after_failure[of_cpu]
        steps, values, times_ms = zip(*found[of_cpu], strict=True)
        assert list(steps) == sorted(set(steps))
        assert list(times_ms) == sorted(times_ms)
        assert started_ms < times_ms[0]
        assert times_ms[-1] < time.time() * 1000
        assert all(0 <= value <= 100 for value in values)
    assert sorted({row[0] for rows in found.values() for row in rows})[:3] == [0, 1, 2]
