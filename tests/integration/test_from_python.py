"""Data, a model and a loss from a notebook, a module that exists, and a task of Ray's."""

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
import torch
from sklearn.datasets import load_wine
from torch import nn

import distrain
from distrain.errors import ModelError
from distrain.handed.rows import write_rows
from distrain.results import TrainResult
from distrain.track.packaged import Predictor
from tests.notebook_cells import run_as_main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

CELL = """
import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 16

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(13, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU())
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x):
        return self.head(self.hidden(x))

def loss(outputs, y):
    return F.cross_entropy(outputs, y, reduction="none", label_smoothing=0.1)
"""


def wine() -> pd.DataFrame:
    frame: pd.DataFrame = load_wine(as_frame=True).frame
    return frame


def train_on(storage: Path, num_workers: int = 1, **handed: Any) -> TrainResult:
    usual = {"epochs": 2, "global_batch_size": 32, "num_workers": num_workers}
    return distrain.train(
        name="wine", storage=str(storage), data=wine(), target="target", train=usual, **handed
    )


@pytest.fixture(scope="module")
def cell() -> dict[str, Any]:
    return run_as_main(CELL, "<cell of test_from_python>")


@pytest.fixture(scope="module")
def module(cell: dict[str, Any]) -> nn.Module:
    torch.manual_seed(5)
    net: nn.Module = cell["Net"](classes=3)
    return net


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def results(storage: Path, module: nn.Module, cell: dict[str, Any]) -> dict[int, TrainResult]:
    """A module with the weights that it has, on 1 worker and on 3."""
    return {count: train_on(storage, count, model=module, loss=cell["loss"]) for count in (1, 3)}


def test_a_module_of_a_notebook_trains_to_the_same_bits_on_any_workers(
    results: dict[int, TrainResult],
) -> None:
    assert [result.status for result in results.values()] == ["finished", "finished"]
    assert [result.num_workers for result in results.values()] == [1, 3]
    assert len({result.weights_sha256 for result in results.values()}) == 1


def test_its_registered_model_needs_no_notebook(
    results: dict[int, TrainResult], cell: dict[str, Any]
) -> None:
    packaged = results[1].run_dir / "model" / "packaged"
    predictor = Predictor.load(packaged)

    assert predictor.weights_sha256 == results[1].weights_sha256
    assert len(predictor.predict(wine())) == len(wine())
    assert "class Net" in next(packaged.rglob("given_*/__init__.py")).read_text(encoding="utf-8")
    assert type(predictor._module) is not cell["Net"]


def test_a_run_from_python_is_made_longer_by_another_process(
    results: dict[int, TrainResult], storage: Path, forgotten: Callable[[], None]
) -> None:
    forgotten()
    longer = distrain.resume(results[1].run_dir, ["train.epochs=4"], storage=storage)
    assert isinstance(longer, TrainResult)
    assert (longer.status, longer.epoch) == ("finished", 4)
    assert longer.resumed_from_step == results[1].step


@pytest.fixture
def forgotten() -> Callable[[], None]:
    """Let this process know nothing of what was handed over, as another would not."""

    def forget() -> None:
        sys.path[:] = [folder for folder in sys.path if "/given/" not in folder]
        for name in [name for name in sys.modules if name.startswith("given_")]:
            del sys.modules[name]

    return forget


def test_rows_of_ray_data_are_the_same_source(storage: Path) -> None:
    dataset = ray.data.from_pandas(wine()).repartition(7)
    assert write_rows(dataset, storage / "given") == write_rows(wine(), storage / "given")
    assert not dataset.context.execution_options.preserve_order


@pytest.mark.long
def test_a_search_begins_each_trial_with_the_weights_of_a_module(
    storage: Path, module: nn.Module
) -> None:
    found = distrain.tune(
        name="search",
        storage=str(storage),
        data=wine(),
        target="target",
        model=module,
        train={"epochs": 1, "global_batch_size": 32},
        tune={
            "metric": "validation/loss",
            "num_trials": 2,
            "space": {"train.optimizer.lr": {"grid": [1e-3, 1e-2]}},
            "search_alg": "grid",
        },
    )
    assert found.best is not None
    rate = found.best["config"]["train.optimizer.lr"]
    alone = distrain.train(
        name="alone",
        storage=str(storage),
        data=wine(),
        target="target",
        model=module,
        train={"epochs": 1, "global_batch_size": 32, "optimizer": {"lr": rate}},
    )
    assert (found.status, found.num_failed) == ("finished", 0)
    assert alone.weights_sha256 == found.weights_sha256


@pytest.mark.long
def test_a_task_of_rays_trains(storage: Path, cell: dict[str, Any]) -> None:
    kept = storage / "task"

    @ray.remote(num_cpus=0)
    def task(frame: pd.DataFrame) -> tuple[str, str | None]:
        result = distrain.train(
            name="wine",
            storage=str(kept),
            data=frame,
            target="target",
            model={"name": "mlp", "hidden": [8]},
            train={"epochs": 1, "num_workers": 2},
        )
        return result.status, result.weights_sha256

    status, sha256 = ray.get(task.remote(wine()))

    assert status == "finished"
    assert sha256
    shutil.rmtree(kept)


def test_a_model_that_does_not_fit_is_told_before_anything_begins(
    storage: Path, cell: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match=r"returned shape \(2, 4\)"):
        train_on(storage, model=partial(cell["Net"], classes=4))
