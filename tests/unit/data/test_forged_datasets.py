"""Prepared datasets that somebody has forged: refused in words, and nothing of them is run."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from distrain.data.cache import Cache
from distrain.data.features import Transform
from distrain.data.prepared import PreparedDataset
from distrain.data.shards import write_manifest, write_shard
from distrain.errors import DataError

Manifest = dict[str, Any]
NUM_ROWS = 4


class Payload:
    """What leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def x_column(num_rows: int = NUM_ROWS) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(num_rows * 3, np.float32)), 3)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cache" / "dataset"
    rows = {"x": np.ones((NUM_ROWS, 3), np.float32), "y": np.arange(NUM_ROWS)}
    shard = write_shard(folder, "train-00000.arrow", rows)
    empty: Manifest = {"num_rows": 0, "shards": []}
    train = {"num_rows": NUM_ROWS, "shards": [shard.__dict__]}
    manifest = {
        "format": 1,
        "digest": "0" * 64,
        "splits": {"train": train, "validation": empty, "test": empty},
        "columns": {
            "x": {"dtype": "float32", "shape": [3]},
            "y": {"dtype": "int64", "shape": []},
        },
        "transform": Transform("regression", ["t"], target_mean=[0.0], target_std=[1.0]).to_json(),
    }
    write_manifest(folder, manifest)
    return folder


def read(folder: Path) -> list[int]:
    train = PreparedDataset.open(folder).split("train")
    found: list[int] = train.slice(0, train.num_rows)["y"].tolist()
    return found


def change_manifest(folder: Path, change: Callable[[Manifest], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def of_shard(**fields: Any) -> Callable[[Manifest], object]:
    return lambda manifest: manifest["splits"]["train"]["shards"][0].update(fields)


def of_column(name: str, dtype: object, shape: object) -> Callable[[Manifest], object]:
    return lambda manifest: manifest["columns"].update({name: {"dtype": dtype, "shape": shape}})


MANIFESTS = {
    "a shard above": (of_shard(file="../../outside.arrow"), "splits"),
    "a shard by its whole path": (of_shard(file="/dev/zero"), "splits"),
    "a hash that is a path": (of_shard(sha256="../../x"), "splits"),
    "fewer rows than none": (of_shard(num_rows=-3), "splits"),
    "more rows than the file holds": (of_shard(num_rows=1 << 40), "cannot hold"),
    "another field": (of_shard(x=1), "splits"),
    "no splits": (lambda manifest: manifest.pop("splits"), "splits"),
    "a column of Python objects": (of_column("y", "object", []), "columns"),
    "a column of no type": (of_column("y", 5, []), "columns"),
    "a column of terabytes": (of_column("x", "float32", [1 << 40]), "cannot hold"),
    "a column of a negative size": (of_column("x", "float32", [-1]), "columns"),
    "a small file above": (
        lambda m: m.update(small_files=[{"file": "../x", "sha256": "0" * 64, "num_bytes": 1}]),
        "small_files",
    ),
}


@pytest.mark.parametrize(("change", "told"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_of_what_is_not_there_is_refused(
    folder: Path, change: Callable[[Manifest], object], told: str
) -> None:
    change_manifest(folder, change)
    with pytest.raises(DataError, match=told) as caught:
        PreparedDataset.open(folder)
    assert all((caught.value.where, caught.value.expected, caught.value.mend))


def test_a_manifest_without_end_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="nested too deeply"):
        PreparedDataset.open(folder)


def test_a_manifest_of_gigabytes_is_not_read(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(10 << 30)
    with pytest.raises(DataError, match="manifest cannot be read"):
        PreparedDataset.open(folder)


def put_shard(folder: Path, batch: pa.RecordBatch, compression: str | None = None) -> None:
    """Put a batch in the shard's place, with all that the manifest says of it right."""
    path = folder / "shards" / "train-00000.arrow"
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, batch.schema, options=options) as writer,
    ):
        writer.write_batch(batch)
    content = path.read_bytes()
    facts = {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    change_manifest(folder, of_shard(**facts))


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_shard_is_not_unpacked(folder: Path, compression: str) -> None:
    num_rows = 1 << 16
    batch = pa.record_batch(
        [x_column(num_rows), pa.array(np.zeros(num_rows, np.int64))], names=["x", "y"]
    )
    put_shard(folder, batch, compression)
    with pytest.raises(DataError, match="it is compressed"):
        read(folder)


def test_a_shard_of_another_number_of_rows_is_refused(folder: Path) -> None:
    put_shard(folder, pa.record_batch([x_column(5), pa.array(range(5))], names=["x", "y"]))
    with pytest.raises(DataError, match="it has 5 rows"):
        read(folder)


COLUMNS = {
    "text": pa.array(["a"] * NUM_ROWS),
    "missing values": pa.array([1, None, 2, 3]),
    "another type": pa.array([1.0] * NUM_ROWS),
    "lists": pa.array([[1]] * NUM_ROWS),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_shard_of_other_columns_is_refused(folder: Path, column: pa.Array) -> None:
    put_shard(folder, pa.record_batch([x_column(), column], names=["x", "y"]))
    with pytest.raises(DataError, match="the shard cannot be read"):
        read(folder)


@pytest.mark.parametrize("size", [0, 7, 8, 100, 500])
def test_a_shard_that_ends_early_is_refused(folder: Path, size: int) -> None:
    path = folder / "shards" / "train-00000.arrow"
    path.write_bytes(path.read_bytes()[:size].ljust(800, b"\0"))
    change_manifest(folder, of_shard(num_bytes=800))
    with pytest.raises(DataError, match="the shard cannot be read"):
        read(folder)


def test_a_shard_of_pickles_is_refused_where_ray_would_unpickle_it(folder: Path) -> None:
    from ray.data._internal.object_extensions import arrow as _registers_the_type  # noqa: F401

    values = pa.array([pickle.dumps(Payload())] * NUM_ROWS, pa.large_binary())
    marked = {
        "ARROW:extension:name": "ray.data.arrow_pickled_object",
        "ARROW:extension:metadata": "",
    }
    x = x_column()
    schema = pa.schema([pa.field("x", x.type), pa.field("y", values.type, metadata=marked)])
    put_shard(folder, pa.record_batch([x, values], schema=schema))
    with pytest.raises(DataError, match="y is of type extension"):
        read(folder)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("digest", ["../dataset", "/tmp", "dataset", 5, "[" * 100_000])
def test_an_index_leads_to_no_other_folder(folder: Path, digest: object) -> None:
    cache = Cache(folder.parent, "k" * 16)
    index = folder.parent / "index" / f"{'k' * 16}.json"
    index.parent.mkdir()
    index.write_text(digest if str(digest)[0] == "[" else json.dumps({"digest": digest}))  # type: ignore[arg-type]
    assert cache.find() is None
