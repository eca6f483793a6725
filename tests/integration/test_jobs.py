"""Jobs on a private cluster with a dashboard: submitted, followed, stopped, watched over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.private_ray import PrivateRay, private_ray

pytestmark = pytest.mark.slow

DISTRAIN = Path(sys.executable).with_name("distrain")
TIMEOUT_S = 150.0
TOKEN = "a-token-of-a-test-0123456789abcdef"
# What runs there is found where a cluster's Python finds it, not where the tests do.
INSTALLED = {"PYTHONPATH": ""}
SLOW_NET = """
import time
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(64, 10)

    def forward(self, x):
        time.sleep(0.02)
        return self.inner(x.reshape(len(x), -1))
"""


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("token") / "auth_token"
    path.write_text(TOKEN, encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def head(token_file: Path) -> Iterator[PrivateRay]:
    with private_ray(environment={**INSTALLED, "RAY_AUTH_TOKEN": TOKEN}) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = {
        "data": {"source": "sklearn:digits", "target": "target"},
        "model": {"name": "mlp", "hidden": [8]},
        "train": {"epochs": 1, "num_workers": 1},
    }
    (tmp_path / "digits.yaml").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "slow_net.py").write_text(SLOW_NET, encoding="utf-8")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for words in (["init", "-q"], ["add", "digits.yaml"], ["commit", "-qm", "Begin"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def start(
    head: PrivateRay, folder: Path, token_file: Path | None, *words: str
) -> subprocess.Popen[str]:
    dropped = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "MLFLOW_TRACKING_URI")
    environment = {name: text for name, text in os.environ.items() if name not in dropped}
    if token_file is not None:
        environment["RAY_AUTH_TOKEN_PATH"] = str(token_file)
    return subprocess.Popen(
        [DISTRAIN, *words, "--address", head.url, "--json"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert stdout.strip(), stderr
    return process.returncode, json.loads(stdout.splitlines()[-1]), stderr


def wait_until(folder: Path, pattern: str) -> Path:
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := sorted(folder.glob(pattern))):
        assert time.monotonic() < deadline, pattern
        time.sleep(0.1)
    return found[-1]


def drivers(storage: Path) -> list[psutil.Process]:
    """Return the drivers of jobs whose command line names a storage folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "distrain.as_job" in (process.info["cmdline"] or [])
        and any(str(storage) in word for word in process.info["cmdline"])
    ]


def test_a_job_trains_once_and_its_result_comes_back(
    head: PrivateRay, folder: Path, token_file: Path
) -> None:
    storage = folder / "runs"
    words = ("submit", "--wait", "train", "digits.yaml", f"storage={storage}")
    goal = "evaluate.goals={test/accuracy: '>= 1'}"
    code, answer, stderr = ended(start(head, folder, token_file, *words, goal))

    assert code == 3, stderr  # the goal is not met, and the job itself ends with 0
    assert answer["status"] == "succeeded"
    result = answer["result"]
    assert result["status"] == "finished"
    run_dir = Path(result["run_dir"])
    assert json.loads((run_dir / "result.json").read_text()) == result

    again, same, _ = ended(start(head, folder, token_file, *words, goal))
    assert (again, same) == (code, answer)
    assert len(list((storage / "digits").iterdir())) == 1

    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()
    tags = json.loads((run_dir / "started.json").read_text())["tags"]
    assert tags["distrain.code.commit"] == commit
    assert tags["mlflow.source.name"].startswith("distrain train digits.yaml")
    assert tags["distrain.version"] != "unknown"
    assert not [path for path in run_dir.rglob("*") if _holds_token(path)]


@pytest.mark.long
def test_a_stopped_job_has_saved_its_state_and_goes_on(
    head: PrivateRay, folder: Path, token_file: Path
) -> None:
    storage = folder / "runs"
    slow = ("model={target: 'slow_net:Net'}", "train.epochs=20", "train.checkpoint.every_steps=20")
    words = ("submit", "train", "digits.yaml", f"storage={storage}", *slow)
    _, begun, _ = ended(start(head, folder, token_file, *words))
    run_dir = wait_until(storage, "digits/*/checkpoints/step-20").parent.parent

    code, stopped, stderr = ended(start(head, folder, token_file, "job", "stop", begun["job_id"]))

    assert (code, stopped["status"]) == (0, "stopped"), stderr
    assert stopped["result"]["status"] == "interrupted"
    step = stopped["result"]["step"]
    assert 20 <= step < 120
    assert [path.name for path in (run_dir / "checkpoints").glob(f"step-{step}")]

    onwards = ("submit", "--wait", "resume", str(run_dir))
    code, resumed, stderr = ended(start(head, folder, token_file, *onwards))

    assert code == 0, stderr
    assert resumed["result"]["resumed_from_step"] == step
    assert resumed["result"]["run_dir"] == str(run_dir)


def test_a_cluster_lets_nobody_in_without_its_token(head: PrivateRay, folder: Path) -> None:
    wrong = folder / "wrong"
    wrong.write_text("another-token-0123456789abcdef", encoding="utf-8")
    wrong.chmod(0o600)
    words = ("submit", "train", "digits.yaml", f"storage={folder}/runs")

    code, answer, _ = ended(start(head, folder, wrong, *words))

    assert (code, answer["error"]["kind"]) == (4, "cluster")
    assert "takes another token" in answer["error"]["message"]


@pytest.mark.long
def test_a_watcher_brings_a_run_back_after_driver_and_head_have_died(folder: Path) -> None:
    storage = folder / "runs"
    slow = ("model={target: 'slow_net:Net'}", "train.epochs=12", "train.checkpoint.every_steps=5")
    words = ("train", "digits.yaml", f"storage={storage}", *slow)
    with private_ray(environment={**INSTALLED, "RAY_AUTH_MODE": "disabled"}) as head:
        watched = start(head, folder, None, "submit", "--supervise", *words)
        try:
            run_dir = wait_until(storage, "digits/*/checkpoints/step-*").parent.parent
            [driver] = drivers(storage)
            driver.send_signal(signal.SIGKILL)
            first = {path.name for path in (run_dir / "checkpoints").iterdir()}
            deadline = time.monotonic() + TIMEOUT_S
            while {path.name for path in (run_dir / "checkpoints").iterdir()} <= first:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            head.kill()
            head.start()
            code, answer, stderr = ended(watched)
        finally:
            watched.kill()

    assert code == 0, stderr
    assert stderr.count("was lost; submitting it again") == 2
    result = answer["result"]
    assert result["run_dir"] == str(run_dir)
    assert result["resumed_from_step"] > 0
    straight = ended(_local(folder, *words[:2], f"storage={folder}/local", *slow))[1]
    assert result["weights_sha256"] == straight["weights_sha256"]


def _local(folder: Path, *words: str) -> subprocess.Popen[str]:
    dropped = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")
    return subprocess.Popen(
        [DISTRAIN, *words, "--json"],
        cwd=folder,
        env={name: text for name, text in os.environ.items() if name not in dropped},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _holds_token(path: Path) -> bool:
    return path.is_file() and TOKEN.encode() in path.read_bytes()
