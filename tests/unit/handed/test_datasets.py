"""torch Datasets that are handed over become sections of the data, and what is none is refused."""

import importlib
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from distrain.config.settings import Settings
from distrain.data.own.opening import open_dataset
from distrain.data.prepare import prepare
from distrain.errors import ConfigError, DataError, ModelError
from distrain.handed.over import Handed, hand_over
from tests.notebook_cells import run_as_main

CELL = """
import random

import numpy as np
import torch
from torch.utils.data import Dataset

class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x

class Shift:
    def __init__(self, most):
        self.most = most

    def __call__(self, x):
        return x + random.randint(-self.most, self.most)

def as_float(x):
    return torch.as_tensor(x, dtype=torch.float32)

class Points(Dataset):
    def __init__(self, x, frame, transform=None):
        self.x = x
        self.labels = frame["label"]
        self.transform = transform

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        x = self.x[index]
        return (x if self.transform is None else self.transform(x)), int(self.labels.iloc[index])

class Forgetful(Points):
    def __getstate__(self):
        return {**self.__dict__, "x": 0 * self.x}

class Opening(Points):
    def __init__(self, *args):
        super().__init__(*args)
        with open("/dev/null") as self.file:
            pass

def pairs(items):
    return torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])

def step(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).sum(), len(y), {}
"""


@pytest.fixture
def over(tmp_path: Path) -> Iterator[Callable[..., Settings]]:
    """Give what hands something over, and lets its modules be imported until the test ends."""
    before, modules = list(sys.path), set(sys.modules)

    def hand(config: dict[str, Any] | None = None, **handed: Any) -> Settings:
        usual = {"storage": str(tmp_path / "runs"), **(config or {})}
        settings, folders = hand_over(usual, (), {}, Handed(**handed))
        sys.path[:0] = folders
        return settings

    yield hand
    sys.path[:] = before
    for name in [name for name in sys.modules if name not in modules]:
        if name.startswith("given_"):
            del sys.modules[name]


@pytest.fixture
def own(user_code: None) -> Any:
    """Give Datasets of a module of the user's."""
    return importlib.import_module("own_datasets")


@pytest.fixture(scope="module")
def cell() -> dict[str, Any]:
    return run_as_main(CELL, "<cell of test_datasets>")


def points(cell: dict[str, Any], kind: str = "Points", **more: Any) -> Any:
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    return cell[kind](x, pd.DataFrame({"label": [0, 1] * 5}), **more)


def opened(settings: Settings, key: str = "dataset") -> Any:
    section = getattr(settings.data, key)
    return open_dataset(section.model_dump(), f"data.{key}")


def test_tensors_are_kept_once_and_mapped(over: Callable[..., Settings], tmp_path: Path) -> None:
    whole = TensorDataset(torch.randn(1000, 400), torch.arange(1000) % 3)

    settings = over(data=Subset(whole, range(900)), test_data=Subset(whole, range(900, 1000)))

    train, test = opened(settings), opened(settings, "test_dataset")
    assert (len(train), len(test)) == (900, 100)
    assert torch.equal(test[7][0], whole[907][0])
    sizes = [path.stat().st_size for path in (tmp_path / "runs" / "given").glob("*.npy")]
    assert [size for size in sizes if size > 1_000_000] == [whole.tensors[0].nbytes + 128]
    assert prepare(settings.data, cache=tmp_path / "cache").dataset.transform.classes == [0, 1, 2]


def test_a_dataset_of_a_cell_comes_back_with_its_transforms(
    over: Callable[..., Settings], cell: dict[str, Any]
) -> None:
    transform = cell["Compose"]([cell["as_float"], cell["Shift"](3), torch.neg])
    settings = over(data=points(cell, transform=transform), collate=cell["pairs"])

    again = opened(settings)
    random.seed(5)
    x, y = again[3]

    random.seed(5)
    assert torch.equal(x, -(torch.tensor([6.0, 7.0]) + random.randint(-3, 3)))
    assert y == 1
    assert type(again) is not cell["Points"]
    assert settings.data.collate is not None
    assert settings.data.collate.startswith("given_")


def test_another_step_leaves_a_dataset_its_name(
    over: Callable[..., Settings], cell: dict[str, Any]
) -> None:
    first = over(data=points(cell), step=cell["step"])
    other = over(data=points(cell), step=run_as_main("def other(m, b): return 0, 1, {}")["other"])

    assert first.train.step != other.train.step
    assert first.data.dataset == other.data.dataset


def test_datasets_hold_datasets_and_are_other_splits(
    over: Callable[..., Settings], own: Any
) -> None:
    one, other = own.Plain(20), own.Named(10, seed=1)
    settings = over(data=ConcatDataset([one, other]), validation_data=other)

    again = opened(settings)
    assert [len(again), len(opened(settings, "validation_dataset"))] == [30, 10]
    assert np.array_equal(again[25][0], other[5][0])
    assert settings.data.split.validation == 0.0


def test_a_class_and_a_partial_are_named_with_their_arguments(
    over: Callable[..., Settings], own: Any
) -> None:
    settings = over(data=partial(own.Plain, num_rows=30), validation_data=own.Named)
    sections = [settings.data.dataset, settings.data.validation_dataset]
    assert [section.model_dump(include={"target", "args"}) for section in sections if section] == [
        {"target": "own_datasets:Plain", "args": {"num_rows": 30}},
        {"target": "own_datasets:Named", "args": {}},
    ]


def test_arguments_that_no_configuration_holds_are_written_down(
    over: Callable[..., Settings], cell: dict[str, Any]
) -> None:
    frame = pd.DataFrame({"label": [1, 0]})
    data = partial(cell["Points"], np.eye(2), frame, transform=cell["Shift"](0))

    again = opened(over(data=data))

    assert again[0][0].tolist() == [1.0, 0.0]
    assert again[0][1] == 1


X, Y = np.zeros((4, 2)), np.zeros(4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda own, _: DataLoader(own.Plain(), batch_size=16),
            ConfigError,
            r"a DataLoader, .* data=loader\.dataset, train=\{'global_batch_size': 16\}",
        ),
        (lambda own, _: own.Stream(), DataError, "Stream is an IterableDataset"),
        (lambda own, _: own.Stream, DataError, "Stream is an IterableDataset"),
        (lambda own, _: own.Lengthless(), ConfigError, "is of type own_datasets.Lengthless"),
        (lambda *_: X, ConfigError, r"numpy.ndarray.* Hand over torch.utils.data.TensorDataset\("),
        (lambda *_: (X, Y), ConfigError, r"builtins.tuple.*\.TensorDataset\("),
        (lambda *_: torch.zeros(2), ConfigError, r"torch.Tensor.*\.TensorDataset\("),
        (lambda *_: [1, 2], ConfigError, r"builtins.list\. Expected a pandas .* Make a DataFrame"),
        (lambda *_: lambda: 0, ModelError, "<lambda> is not what"),
        (
            lambda _, cell: points(cell, "Opening"),
            DataError,
            r"data Opening.file: it holds an open file.*=functools.partial\(Opening, \.\.\.\)",
        ),
        (
            lambda _, cell: points(cell, "Forgetful"),
            DataError,
            "data Forgetful: made again .* row 0 is another",
        ),
    ],
)
def test_what_cannot_be_handed_over_is_refused(
    over: Callable[..., Settings],
    own: Any,
    cell: dict[str, Any],
    make: Callable[[Any, Any], Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        over(data=make(own, cell))


@pytest.mark.parametrize(
    ("handed", "message"),
    [
        ({"test_data": pd.DataFrame({"a": [1]})}, "test_data has rows"),
        ({"validation_data": pd.DataFrame({"a": [1]})}, "validation_data is a table"),
        ({"step": 3}, "a int is handed over"),
        ({"config": {"data": {"source": "a.csv"}}}, "data.source stands beside data.dataset"),
    ],
)
def test_what_does_not_go_together_is_refused_and_leaves_nothing(
    over: Callable[..., Settings], own: Any, handed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        over(**{"data": own.Plain(), **handed})
    assert not (tmp_path / "runs").exists()
