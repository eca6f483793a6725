"""Clusters of two hosts, of which one has another storage; the real thing, on Ray."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.hosts import HAS_NAMESPACES, Hosts, hosts
from tests.chaos.undertaking import undertake

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_NAMESPACES, reason="root alone can make network namespaces"),
]

DISTRAIN = Path(sys.executable).with_name("distrain")
FAR = 1
FAR_TEXT = f"host {socket.gethostname()} ({Hosts.address_of(FAR)})"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, and the storage that the far host does not see."""
    folder = tmp_path_factory.mktemp("apart")
    (folder / "runs").mkdir()
    config = {
        "name": "digits",
        "data": {"source": "sklearn:digits", "target": "target"},
        "train": {"epochs": 1, "num_workers": 2},
        "tune": {
            "num_trials": 2,
            "metric": "validation/loss",
            "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-2]}},
        },
    }
    (folder / "digits.yaml").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def apart(folder: Path) -> Iterator[Hosts]:
    with hosts(2, num_started=1) as made:
        made.start_node(FAR, hidden=folder / "runs")
        yield made


@pytest.mark.parametrize("command", ["prepare", "train", "tune"])
def test_a_host_without_the_storage_is_named_before_anything_is_done(
    command: str, apart: Hosts, folder: Path
) -> None:
    words = [command, "digits.yaml", f"cluster.address={apart.address}", "--json"]

    done = subprocess.run(
        [*apart.words_on(0), DISTRAIN, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAY_TMPDIR")},
    )

    assert done.returncode == 2, done.stderr
    error = json.loads(done.stdout.strip().splitlines()[-1])["error"]
    assert (error["kind"], error["where"]) == ("config", FAR_TEXT)
    assert error["message"] == f"storage {folder / 'runs'} is not seen there"
    assert "Mount the same storage on every node" in error["mend"]
    assert [path for path in (folder / "runs").iterdir() if path.is_dir()] == []


@pytest.mark.long
def test_a_host_without_the_storage_that_comes_later_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with hosts(2, num_started=1) as made:
        run = undertake(
            *(tmp_path, made.address, ["train.num_workers={min: 1, max: 2}"]),
            part_s=0.2,  # the host comes long before it ends
            prefix=made.words_on(0),
        )
        try:
            run.wait_for_step(4)
            made.start_node(FAR, hidden=tmp_path / "runs")
            result = run.end()
        finally:
            run.abandon()

    assert result["status"] == "failed"
    assert result["error"]["where"].endswith(f" on {FAR_TEXT}")
    assert result["error"]["message"] == f"the run's folder {result['run_dir']} is not there"
    assert "training goes on from the newest checkpoint" not in run.told()
