"""The on-disk form: what is written is read back, and damage is told."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distrain.data.features import Transform
from distrain.data.prepared import PreparedDataset, Split
from distrain.data.shards import Shard, write_manifest, write_shard
from distrain.errors import DataError

SHARD_ROWS = (4, 1, 7)
NUM_ROWS = sum(SHARD_ROWS)


def rows(start: int, stop: int) -> dict[str, Any]:
    numbers = np.arange(start, stop)
    return {
        "x": (numbers[:, None] * 10 + np.arange(3)).astype(np.float32),
        "y": numbers.astype(np.int64),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shards, start = [], 0
    for number, size in enumerate(SHARD_ROWS):
        shard = write_shard(tmp_path, f"train-{number:05d}.arrow", rows(start, start + size))
        shards.append(shard.__dict__)
        start += size
    empty: dict[str, Any] = {"num_rows": 0, "shards": []}
    manifest = {
        "format": 1,
        "digest": "0" * 64,
        "splits": {
            "train": {"num_rows": start, "shards": shards},
            "validation": empty,
            "test": empty,
        },
        "columns": {
            "x": {"dtype": "float32", "shape": [3]},
            "y": {"dtype": "int64", "shape": []},
            "target": {"dtype": "float64", "shape": [1]},
        },
        "transform": Transform("regression", ["t"], target_mean=[0.0], target_std=[1.0]).to_json(),
    }
    write_manifest(tmp_path, manifest)
    return tmp_path


@pytest.fixture
def train(folder: Path) -> Split:
    return PreparedDataset.open(folder).split("train")


def test_taken_rows_come_in_the_order_asked_for(train: Split) -> None:
    wanted = np.array([11, 0, 4, 4, 3, 5])
    taken = train.take(wanted)
    whole = rows(0, NUM_ROWS)
    assert np.array_equal(taken["x"], whole["x"][wanted])
    assert np.array_equal(taken["y"], whole["y"][wanted])


def test_no_rows_can_be_taken(train: Split) -> None:
    assert train.take(np.array([], dtype=np.int64))["x"].shape == (0, 3)


@pytest.mark.parametrize(("start", "stop"), [(0, NUM_ROWS), (3, 6), (4, 5), (5, 5), (11, 12)])
def test_slice_equals_the_rows_in_between(train: Split, start: int, stop: int) -> None:
    part = train.slice(start, stop)
    assert np.array_equal(part["x"], rows(start, stop)["x"])
    assert np.array_equal(part["y"], rows(start, stop)["y"])


def test_rows_outside_the_split_are_refused(train: Split) -> None:
    with pytest.raises(IndexError, match="-1 to -1 of a split of 12"):
        train.take(np.array([-1]))
    with pytest.raises(IndexError, match="of a split of 12"):
        train.slice(3, 13)


def test_targets_in_their_unit_are_not_in_the_training_split(folder: Path) -> None:
    dataset = PreparedDataset.open(folder)
    assert set(dataset.split("train").columns) == {"x", "y"}
    assert set(dataset.split("test").columns) == {"x", "y", "target"}
    assert dataset.split("test").num_rows == 0


def test_shard_hash_is_that_of_the_file(folder: Path) -> None:
    shard = PreparedDataset.open(folder).shards()[0]
    content = (folder / "shards" / shard.file).read_bytes()
    assert shard.sha256 == hashlib.sha256(content).hexdigest()
    assert shard.num_bytes == len(content)


def test_equal_rows_make_equal_files(tmp_path: Path) -> None:
    first: Shard = write_shard(tmp_path / "a", "s.arrow", rows(0, 9))
    second = write_shard(tmp_path / "b", "s.arrow", rows(0, 9))
    assert first == second


def test_only_whole_files_are_left_after_writing(folder: Path) -> None:
    assert [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")] == []


def test_missing_shard_is_told_when_opening(folder: Path) -> None:
    (folder / "shards" / "train-00001.arrow").unlink()
    with pytest.raises(DataError, match=r"train-00001\.arrow: the shard is missing"):
        PreparedDataset.open(folder)


def test_cut_shard_is_told_when_opening(folder: Path) -> None:
    path = folder / "shards" / "train-00002.arrow"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"the shard has .* bytes"):
        PreparedDataset.open(folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "cannot be read"), ('{"format": 0}', "the format is 0"), ("[]", "the format is None")],
)
def test_unreadable_manifest_is_told(folder: Path, text: str, told: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=told):
        PreparedDataset.open(folder)


def test_folder_without_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prepared dataset is here"):
        PreparedDataset.open(tmp_path)
