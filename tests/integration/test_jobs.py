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

from tests.private_ray import CAN_MOUNT, PrivateRay, private_ray

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
    def __init__(self, inputs=64, classes=10):
        super().__init__()
        self.inner = torch.nn.Linear(inputs, classes)

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


def slow_run(folder: Path) -> list[str]:
    """Return the words of a run that takes its time, and saves its state often."""
    slow = ["model={target: 'slow_net:Net'}", "train.epochs=8", "train.checkpoint.every_steps=5"]
    return ["train", "digits.yaml", f"storage={folder}/runs", *slow]


def drivers(storage: Path | str) -> list[psutil.Process]:
    """Return the drivers of jobs whose command line names a storage folder, or its URI."""
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


@pytest.mark.long
def test_two_who_stop_a_job_at_once_are_told_the_same(
    head: PrivateRay, folder: Path, token_file: Path
) -> None:
    _, begun, _ = ended(start(head, folder, token_file, "submit", *slow_run(folder)))
    wait_until(folder / "runs", "digits/*/checkpoints/step-*")

    stops = [start(head, folder, token_file, "job", "stop", begun["job_id"]) for _ in range(2)]
    (code, first, _), (other_code, second, _) = [ended(stop) for stop in stops]

    assert (code, other_code) == (0, 0)
    assert first == second
    assert first["result"]["status"] == "interrupted"


@pytest.mark.long
def test_a_lost_driver_ends_who_follows_its_log_and_is_made_up_for_by_a_watcher(
    head: PrivateRay, folder: Path, token_file: Path
) -> None:
    _, begun, _ = ended(start(head, folder, token_file, "submit", *slow_run(folder)))
    job_id = begun["job_id"]
    following = start(head, folder, token_file, "job", "logs", "-f", job_id)
    wait_until(folder / "runs", "digits/*/checkpoints/step-*")
    [driver] = drivers(folder / "runs")
    driver.send_signal(signal.SIGKILL)

    code, lost, told = ended(following)
    assert (code, lost["status"], lost["result"]) == (1, "failed", None), told
    assert "training on 1 worker" in told

    code, answer, told = ended(start(head, folder, token_file, "job", "supervise", job_id))
    assert code == 0, told
    assert told.count("was lost; submitting it again") == 1
    assert answer["result"]["resumed_from_step"] > 0


@pytest.mark.long
@pytest.mark.skipif(not CAN_MOUNT, reason="root alone can mount")
def test_local_data_goes_along_to_a_driver_on_the_node_that_was_asked_for(
    folder: Path, token_file: Path
) -> None:
    lines = [f"{number % 7},{number % 3},{number % 2}" for number in range(400)]
    (folder / "rows.csv").write_text("\n".join(["a,b,label", *lines]), encoding="utf-8")
    data = "data={source: rows.csv, target: label}"
    model = "model={target: 'slow_net:Net', args: {inputs: 2, classes: 2}}"
    words = (*slow_run(folder), data, model, "train.epochs=40")
    with private_ray(environment={**INSTALLED, "RAY_AUTH_TOKEN": TOKEN}) as ray:
        ray.add_node("far", resources={"drivers": 1}, hidden=ray.temp_dir)
        how = ("--upload-data", "--driver", "drivers=1")
        _, begun, told = ended(start(ray, folder, token_file, "submit", *how, *words))
        (folder / "rows.csv").unlink()
        wait_until(folder / "runs", "digits/*/checkpoints/step-*")
        [driver] = drivers(folder / "runs")
        is_far = driver.pid in ray.processes_of("far")
        follow = ("job", "logs", "-f", begun["job_id"])
        code, answer, told = ended(start(ray, folder, token_file, *follow))

    assert code == 0, (answer, told)
    assert is_far
    assert answer["result"]["status"] == "finished"


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
    words = slow_run(folder)
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
    straight = ended(_local(folder, *words, f"storage={folder}/local"))[1]
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
