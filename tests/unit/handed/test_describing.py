"""What a Dataset may hold is described, and comes back as it was; the rest is told."""

import collections
import datetime
import functools
import importlib
import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from distrain.errors import DataError
from distrain.handed.package import Package
from distrain.handed.subject import Subject
from distrain.models.target import load_target

SUBJECT = Subject("data", DataError, "attributes", "Keep its parts", "its class")


@pytest.fixture(autouse=True)
def own(user_code: None) -> Any:
    """Give classes as a user might write them."""
    return importlib.import_module("own_datasets")


@pytest.fixture
def again(tmp_path: Path) -> Any:
    """Give what hands a value over, and reads it from what was kept alone."""

    def read(value: Any) -> Any:
        package = Package(tmp_path)
        path = package.value("made", value, SUBJECT)
        package.keep()
        with package.importable():
            return load_target(package.named(path), where="data")()

    return read


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", None, True, 0.5, float("inf")],
        {"a": (1, [2]), 3: {4, 5}},
        b"short",
        b"long" * 1000,
        complex(1, float("inf")),
        Path("some/where"),
        datetime.datetime(2024, 1, 2, 3),
        collections.defaultdict(list, {1: [2]}),
        collections.OrderedDict(b=1, a=2),
        re.compile("a+", re.IGNORECASE),
        range(3),
        np.float32(2.5),
        np.dtype("float32"),
        torch.float16,
    ],
)
def test_plain_objects_come_back_equal(value: Any, again: Any) -> None:
    assert again(value) == value
    assert type(again(value)) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.int16).reshape(3, 4).T,
        np.arange(300_000, dtype=np.float64),
        np.zeros((0, 3), dtype=np.float32),
        np.array(3),
        np.array(["a", "bcd"]),
        np.array(["2024-01-02"], dtype="datetime64[D]"),
        np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]),
        np.array([[1, ("a",)], [None, 0.5]], dtype=object),
    ],
)
def test_arrays_come_back_equal_and_may_be_written_to(array: Any, again: Any) -> None:
    found = again(array)
    assert (type(found), found.dtype, found.shape) == (np.ndarray, array.dtype, array.shape)
    assert found.tolist() == array.tolist()
    assert found.flags.writeable


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3).T,
        torch.randn(3).to(torch.bfloat16),
        torch.zeros(0, 2),
        torch.tensor(True),
        nn.Parameter(torch.ones(2)),
    ],
)
def test_tensors_come_back_to_the_bit(tensor: torch.Tensor, again: Any) -> None:
    found = again(tensor)
    assert (type(found), found.dtype, found.shape) == (type(tensor), tensor.dtype, tensor.shape)
    assert torch.equal(found, tensor)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(
            {
                "number": [1.5, float("nan")],
                "kind": pd.Categorical(["u", "v"]),
                "mixed": np.array(["x", float("nan")], dtype=object),
                "lists": [[1], [2, 3]],
                7: pd.to_datetime(["2024-01-01", "2024-01-02"]),
            },
            index=[5, 7],
        ),
        pd.Series(["a", None], name="label"),
        pd.Index([3, 4]),
    ],
)
def test_frames_come_back_equal(frame: Any, again: Any) -> None:
    assert again(frame).equals(frame)


def test_a_mapped_file_stays_where_it_is(tmp_path: Path, again: Any) -> None:
    np.save(tmp_path / "large.npy", np.arange(100).reshape(20, 5))
    mapped = np.load(tmp_path / "large.npy", mmap_mode="r")

    found = again([mapped, mapped[4:9], mapped[:, 2]])

    assert [type(one) for one in found] == [np.memmap, np.memmap, np.ndarray]
    assert [one.tolist() for one in found] == [
        mapped.tolist(),
        mapped[4:9].tolist(),
        mapped[:, 2].tolist(),
    ]


def test_what_is_shared_stays_so_and_circles_are_closed(again: Any) -> None:
    whole = TensorDataset(torch.arange(6))
    around: list[Any] = [Subset(whole, [0, 2]), Subset(whole, [1])]
    around.append(around)

    found = again(around)

    assert found[0].dataset is found[1].dataset
    assert found[2] is found
    assert [int(x) for (x,) in found[0]] == [0, 2]


def test_objects_hold_methods_functions_modules_and_slots(again: Any, own: Any) -> None:
    layer: Any = nn.BatchNorm1d(2).eval()
    layer.running_mean += 3.0
    held = [own.Scaled(2.0), functools.partial(torch.add, 1), layer, own.Slotted(), own.Side.LEFT]

    scaled, add, again_layer, slotted, side = again(held)

    assert scaled.applied(4) == 8.0
    assert scaled.applied.__self__ is scaled
    assert int(add(torch.tensor(1))) == 2
    assert torch.equal(again_layer.running_mean, layer.running_mean)
    assert not again_layer.training
    assert (slotted.left, slotted.right) == (1, own.Pair(2, [3]))
    assert side is own.Side.LEFT


def test_a_set_of_text_is_described_alike_in_any_process() -> None:
    words = {f"word {number}" for number in range(20)}
    package = Package(Path("nowhere"))
    package.value("made", [words], SUBJECT)
    [(text, _)] = package._stores.values()
    assert json.loads(text)["objects"][1]["set"] == sorted(words)


def holding(value: Any) -> Any:
    scaled = importlib.import_module("own_datasets").Scaled(1.0)
    scaled.inner = [{"deep": value}]
    return scaled


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (threading.Lock(), r"holds a _thread.lock, .* Keep its parts; or hand over its class\."),
        ((one for one in range(0)), "holds a generator, .* Make a list of it"),
        (torch.zeros(2, device="meta"), r"holds a tensor on meta, .* Move it by \.cpu\(\)"),
        (torch.eye(2).to_sparse(), "holds a torch.Tensor of layout torch.sparse_coo"),
        (np.random.default_rng(0), "holds a numpy.random._generator.Generator"),
        (json, "holds a builtins.module"),
    ],
)
def test_what_cannot_be_written_down_is_told_with_its_place(value: Any, message: str) -> None:
    package = Package(Path("nowhere"))
    with pytest.raises(DataError, match=message) as caught:
        package.value("made", holding(value), SUBJECT)
    assert caught.value.where == "data Scaled.inner[0]['deep']"


def test_an_open_file_is_called_so(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("w") as file, pytest.raises(DataError, match="an open file"):
        Package(tmp_path).value("made", holding(file), SUBJECT)
