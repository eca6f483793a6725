"""The tiny variant of each example runs as its README says, and can be made again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.command_line import run_in_process

pytestmark = pytest.mark.usefixtures("ray_local")

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def do(folder: Path, *words: str, data: Path | None = None) -> dict[str, Any]:
    """Run a command in a folder; return its object."""
    environment = {"DISTRAIN_DATA": str(data)} if data else {}
    ended = run_in_process([*words, "--json"], folder, environment)
    assert ended.code == 0, ended.stderr
    fields: dict[str, Any] = json.loads(ended.stdout)
    return fields


def check_example(config: str, folder: Path, data: Path | None = None) -> None:
    """Train an example's tiny variant in a fresh folder, and make it again."""
    path = EXAMPLES / config
    trained = do(folder, "train", str(path), str(path.parent / "tiny.yaml"), data=data)
    assert trained["status"] == "finished"
    assert trained["model"] is not None

    model = trained["model"]
    again = do(folder, "reproduce", f"models:/{model['name']}/{model['version']}", data=data)

    assert again["status"] == "equal"
    assert again["differences"] == []
    assert again["steps_compared"] > 0
    assert again["weights_sha256"] == dict.fromkeys(
        ("recorded", "rebuilt"), trained["weights_sha256"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        "digits/digits.yaml",
        "custom-model/wine.yaml",
        pytest.param("own-dataset/shifted-digits.yaml", marks=pytest.mark.long),
        pytest.param("own-step/pairs.yaml", marks=pytest.mark.long),
    ],
)
def test_the_tiny_variant_of_an_example_runs_and_is_reproduced(config: str, tmp_path: Path) -> None:
    check_example(config, tmp_path)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("config", ["own-dataset/shifted-digits.yaml", "own-step/pairs.yaml"])
def test_rows_of_a_dataset_give_the_same_on_any_number_of_workers(
    config: str, tmp_path: Path
) -> None:
    files = [str(EXAMPLES / config), str((EXAMPLES / config).with_name("tiny.yaml"))]

    ended = [
        do(tmp_path, "train", *files, f"train.num_workers={count}", f"data.loader_workers={ahead}")
        for count, ahead in ((1, 0), (2, 1), (3, 0))
    ]

    measured = [
        {name: value for name, value in one["metrics"].items() if name != "samples_per_second"}
        for one in ended
    ]
    assert len({one["weights_sha256"] for one in ended}) == 1
    assert measured == [measured[0]] * 3


@pytest.mark.slow
@pytest.mark.long
def test_the_tiny_variant_of_fine_tuning_runs_and_is_reproduced(tmp_path: Path) -> None:
    folder = EXAMPLES / "fine-tune"
    first = do(tmp_path, "train", str(folder / "classes.yaml"), str(folder / "tiny.yaml"))
    check_example("fine-tune/parity.yaml", tmp_path)

    weights = [
        load_file(next((tmp_path / "runs").glob(f"{name}/*/model/packaged/model.safetensors")))
        for name in ("digits-classes", "digits-parity")
    ]
    frozen = [name for name in weights[0] if name.startswith(("0.", "1."))]
    assert first["model"]["alias"] == "champion"
    assert any("running_mean" in name for name in frozen)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in frozen)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("script", ["train.py", "dataset.py"])
def test_a_script_of_pytorch_runs_and_has_the_same_bits_on_other_workers(
    script: str, tmp_path: Path
) -> None:
    script = str(EXAMPLES / "from-python" / script)
    told = []
    for count in (1, 2, 3):
        overrides = ["train.epochs=2", f"train.num_workers={count}"]
        ended = subprocess.run(
            [sys.executable, script, *overrides],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(ended.stdout.splitlines())
    assert all("training on" in " ".join(lines) for lines in told)
    assert all(lines[-2].startswith(("finished:", "goals_unmet:")) for lines in told)
    assert len({lines[-1] for lines in told}) == 1


@pytest.mark.slow
@pytest.mark.long
def test_the_tiny_variant_of_a_search_runs_and_its_winner_is_reproduced(tmp_path: Path) -> None:
    folder = EXAMPLES / "digits"
    files = [str(folder / name) for name in ("digits.yaml", "search.yaml", "tiny.yaml")]

    searched = do(
        tmp_path, "tune", *files, "tune.num_trials=4", "tune.scheduler.reduction_factor=2"
    )
    again = do(tmp_path, "reproduce", f"models:/digits/{searched['model']['version']}")

    assert (searched["num_trials"], searched["epochs_spent"]) == (4, 4 + 2)
    assert again["status"] == "equal"
    assert again["weights_sha256"] == dict.fromkeys(
        ("recorded", "rebuilt"), searched["weights_sha256"]
    )


@pytest.mark.long
@pytest.mark.realdata
@pytest.mark.parametrize(
    "config",
    ["adult/adult.yaml", "fashion-mnist/fashion-mnist.yaml", "movie-reviews/movie-reviews.yaml"],
)
def test_the_tiny_variant_of_an_example_on_real_data_runs_and_is_reproduced(
    config: str, tmp_path: Path, real_data: Path
) -> None:
    check_example(config, tmp_path, real_data)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.realdata
def test_lagged_columns_beat_the_last_hours_value(tmp_path: Path, real_data: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / "beijing" / "train.py"), "train.num_workers=1"],
        cwd=tmp_path,
        env={**os.environ, "DISTRAIN_DATA": str(real_data)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = dict(line.rsplit(": ", 1) for line in ended.stdout.splitlines()[-3:-1])
    assert float(told["the last hour's value"]) == 22.06
    assert float(told["finished"].removeprefix("RMSE ")) < 21.5
