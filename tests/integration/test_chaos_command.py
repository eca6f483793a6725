"""`distrain chaos`, as a shell runs it: real faults in a real job, and nothing is left behind."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distrain.jobs.chaos.undertaking import DISTRAIN

pytestmark = [pytest.mark.slow, pytest.mark.long]

CONFIG = {
    "name": "digits",
    "storage": "runs",
    "data": {"source": "sklearn:digits", "target": "target"},
    "model": {"name": "mlp", "hidden": [64]},
    "train": {"epochs": 30, "global_batch_size": 64},
    "track": {"register": {"model": "digits", "alias": "champion"}},
}
RAY_ADDRESS_FILE = Path("/tmp/ray/ray_current_cluster")


def chaos(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    (folder / "digits.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")
    (folder / "t").mkdir()
    cut = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")
    return subprocess.run(
        [*DISTRAIN, "chaos", "digits.yaml", *words, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k not in cut}, "TMPDIR": f"{folder}/t"},
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Ray's sockets are below it, and the kernel takes 107 characters of their names.
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def address_file_before() -> str:
    return _address_file()


@pytest.fixture(scope="module")
def survived(folder: Path, address_file_before: str) -> dict[str, Any]:
    return result_of(chaos(folder, "train.epochs=null", "train.steps=60", "--faults", "worker"))


def test_a_lost_worker_is_survived_with_the_undisturbed_weights(survived: dict[str, Any]) -> None:
    [run] = survived["faults"]

    assert (run["fault"], len(run["injected"])) == ("worker", 1)
    assert_is_survived(run)
    assert survived["undisturbed"]["num_points"] > 60


def test_nothing_is_left_behind(
    survived: dict[str, Any], folder: Path, address_file_before: str
) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["digits.yaml", "t"]
    assert list((folder / "t").iterdir()) == []
    assert _processes_below(folder) == []
    assert _address_file() == address_file_before


def test_other_faults_are_survived_with_the_undisturbed_weights() -> None:
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as made:
        result = result_of(chaos(Path(made), "--faults", "checkpoint,driver"))

    assert [run["fault"] for run in result["faults"]] == ["driver", "checkpoint"]
    assert [len(run["injected"]) for run in result["faults"]] == [1, 2]
    for run in result["faults"]:
        assert_is_survived(run)
    assert result["undisturbed"]["num_points"] > 240


def result_of(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def assert_is_survived(run: dict[str, Any]) -> None:
    assert run["passed"], run
    assert run["is_same"], run
    assert (run["rows_repeated"], run["rows_missing"]) == (0, 0)


def _processes_below(folder: Path) -> list[str]:
    """Return the command lines that name the folder, as those of Ray's processes do."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                words = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has just ended
            if str(folder) in words:
                found.append(words.replace("\0", " "))
    return found


def _address_file() -> str:
    return RAY_ADDRESS_FILE.read_text() if RAY_ADDRESS_FILE.exists() else ""
