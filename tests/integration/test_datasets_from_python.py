"""A torch Dataset, a model, a step and a loss that stand in a notebook: nothing is in a module."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

import distrain
from distrain.results import TrainResult
from distrain.track.packaged import Predictor
from tests.notebook_cells import run_as_main

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.usefixtures("ray_local")]

CELL = """
import random
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x

class Roll:
    def __init__(self, most):
        self.most = most

    def __call__(self, image):
        return np.roll(image, random.randint(-self.most, self.most), axis=1)

def scaled(image):
    return torch.from_numpy(image / 16.0).float().unsqueeze(0)

class Digits(Dataset):
    def __init__(self, images, frame, transform):
        self.images = images
        self.frame = frame
        self.transform = transform
        self.classes = [str(digit) for digit in range(10)]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), int(self.frame.iloc[index]["label"])

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.head = nn.Linear(8 * 16, 10)

    def forward(self, x):
        return self.head(F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1))

def loss(outputs, y):
    return F.cross_entropy(outputs, y, reduction="none", label_smoothing=0.1)

def step(model, batch):
    x, y = batch
    outputs = model(x)
    right = (outputs.argmax(dim=1) == y).sum()
    return F.cross_entropy(outputs, y, reduction="sum"), len(y), {"right": (right, len(y))}
"""


@pytest.fixture(scope="module")
def cell() -> dict[str, Any]:
    return run_as_main(CELL, "<cell of test_datasets_from_python>")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


def digits(cell: dict[str, Any], part: slice, transforms: list[Any]) -> Any:
    images, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame({"label": labels[part]})
    return cell["Digits"](
        images.reshape(-1, 8, 8)[part], frame, cell["Compose"]([*transforms, cell["scaled"]])
    )


def train_on(storage: Path, cell: dict[str, Any], num_workers: int, **more: Any) -> TrainResult:
    return distrain.train(
        name="digits",
        storage=str(storage),
        data=digits(cell, slice(0, 400), [cell["Roll"](1)]),
        test_data=digits(cell, slice(400, 500), []),
        model=cell["Net"],
        train={
            "epochs": 2,
            "global_batch_size": 64,
            "num_workers": num_workers,
            "optimizer": {"lr": 2e-2},
        },
        **more,
    )


@pytest.fixture(scope="module")
def results(storage: Path, cell: dict[str, Any]) -> dict[int, TrainResult]:
    return {count: train_on(storage, cell, count, loss=cell["loss"]) for count in (1, 3)}


def test_a_dataset_of_a_notebook_trains_to_the_same_bits_on_any_workers(
    results: dict[int, TrainResult],
) -> None:
    assert [result.status for result in results.values()] == ["finished", "finished"]
    assert [result.num_workers for result in results.values()] == [1, 3]
    assert len({result.weights_sha256 for result in results.values()}) == 1
    assert results[1].metrics["test/accuracy"] > 0.3


def test_its_model_predicts_what_the_dataset_gives(
    results: dict[int, TrainResult], cell: dict[str, Any]
) -> None:
    predictor = Predictor.load(results[1].run_dir / "model" / "packaged")
    test = digits(cell, slice(400, 500), [])
    images = np.stack([test[number][0].numpy() for number in range(10)])

    assert predictor.weights_sha256 == results[1].weights_sha256
    assert len(predictor.predict(images)) == 10


def test_its_run_is_made_longer_by_another_process(
    results: dict[int, TrainResult], storage: Path, forgotten: Callable[[], None]
) -> None:
    forgotten()
    longer = distrain.resume(results[1].run_dir, ["train.epochs=3"], storage=storage)
    assert isinstance(longer, TrainResult)
    assert (longer.status, longer.epoch) == ("finished", 3)


def test_its_run_is_made_again(results: dict[int, TrainResult], storage: Path) -> None:
    again = distrain.reproduce(results[3].run_dir, storage=storage)
    assert (again.status, again.rebuilt_sha256) == ("equal", results[3].weights_sha256)


@pytest.fixture
def forgotten() -> Callable[[], None]:
    """Let this process know nothing of what was handed over, as another would not."""

    def forget() -> None:
        sys.path[:] = [folder for folder in sys.path if "/given/" not in folder]
        for name in [name for name in sys.modules if name.startswith("given_")]:
            del sys.modules[name]

    return forget


def test_a_step_of_a_notebook_trains_where_an_event_loop_runs(
    storage: Path, cell: dict[str, Any]
) -> None:
    async def cells() -> list[TrainResult]:  # as IPython runs them, in a loop that goes on
        return [train_on(storage, cell, count, step=cell["step"]) for count in (1, 2)]

    before = torch.get_rng_state()
    one, two = asyncio.run(cells())

    assert [one.status, two.status] == ["finished", "finished"]
    assert one.weights_sha256 == two.weights_sha256
    assert one.metrics["test/right"] > 0.3
    assert torch.equal(torch.get_rng_state(), before)


def test_trials_of_a_search_share_a_dataset(storage: Path, cell: dict[str, Any]) -> None:
    async def search() -> Any:
        return distrain.tune(
            name="search",
            storage=str(storage),
            data=digits(cell, slice(0, 300), []),
            model=cell["Net"],
            step=cell["step"],
            train={"epochs": 1, "global_batch_size": 64},
            tune={
                "metric": "validation/loss",
                "num_trials": 2,
                "space": {"train.optimizer.lr": {"grid": [1e-3, 1e-2]}},
                "search_alg": "grid",
            },
        )

    found = asyncio.run(search())
    assert (found.status, found.num_failed) == ("finished", 0)
