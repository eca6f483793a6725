"""How a prepared dataset is written: shards and, last, the manifest; each whole or not at all."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.files import below, new_remote, read_remote, write_remote
from distrain.durable import replacing, sync_folder, write_atomically

FORMAT_VERSION: Final = 1
SPLITS: Final = ("train", "validation", "test")
MANIFEST: Final = "manifest.json"
SHARD_FOLDER: Final = "shards"
PROBE_FILE: Final = "train-probe.arrow"
PROBE_ROWS: Final = 2
KEYS_FILE: Final = "train-keys.bin"

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True)
class Column:
    """One fixed-size column: `dtype` is numpy's name, `shape` that of a single row."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Return how many values a row has."""
        return int(np.prod(self.shape, dtype=np.int64))

    def to_json(self) -> dict[str, Any]:
        """Return the manifest's entry for this column."""
        return {"dtype": self.dtype, "shape": list(self.shape)}


def training_columns(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return the columns that training shards have: all but `target`."""
    return {name: column for name, column in columns.items() if name != "target"}


@final
@dataclass(frozen=True)
class Shard:
    """One Arrow file below `shards/`, as the manifest lists it."""

    file: str
    num_rows: int
    sha256: str
    num_bytes: int


@final
@dataclass(frozen=True)
class SmallFile:
    """One file beside the shards that is read whole, as the manifest lists it."""

    file: str
    sha256: str
    num_bytes: int


def write_shard(folder: Path | str, file: str, columns: Mapping[str, Array]) -> Shard:
    """Write one shard below `folder`, so that it is there whole or not at all.

    Its name is durable once the manifest is written.

    Args:
        folder: the prepared dataset's folder, being made, or its URI; an object store shows a file
            when all of it is there.
        file: the shard's name.
        columns: name to array of shape `(rows, *shape)`, all of the same number of rows.

    Returns:
        The shard's entry for the manifest.
    """
    batch = _batch(columns)
    with _new_file(folder, f"{SHARD_FOLDER}/{file}") as opened:
        sink = _HashingWriter(opened)
        with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), batch.schema) as writer:
            writer.write_batch(batch)
    return Shard(file, batch.num_rows, sink.digest.hexdigest(), sink.num_bytes)


def shard_in_memory(file: str, columns: Mapping[str, Array]) -> tuple[Shard, pa.Buffer]:
    """Return the entry and the content of the shard that `write_shard` would write."""
    batch = _batch(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content = sink.getvalue()
    return Shard(file, batch.num_rows, hashlib.sha256(content).hexdigest(), content.size), content


def assignment_file(shard: str) -> str:
    """Return the file that says which rows of a run are for what, beside its training shard's."""
    return shard.replace(".arrow", ".rows")


def write_small(folder: Path | str, file: str, content: bytes) -> SmallFile:
    """Write a small file beside the shards, so that it is there whole or not at all.

    Returns:
        Its entry for the manifest.
    """
    with _new_file(folder, f"{SHARD_FOLDER}/{file}") as opened:
        opened.write(content)
    return SmallFile(file, hashlib.sha256(content).hexdigest(), len(content))


def read_small(folder: Path | str, file: str) -> bytes:
    """Return the content of a file that `write_small` wrote.

    Raises:
        OSError: it cannot be read.
    """
    name = f"{SHARD_FOLDER}/{file}"
    if isinstance(folder, Path):
        return (folder / name).read_bytes()
    return read_remote(below(folder, name))


def write_manifest(folder: Path | str, manifest: Mapping[str, Any]) -> None:
    """Write the manifest: the last act of preparing, after which the dataset counts as whole."""
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n"
    if isinstance(folder, Path):
        sync_folder(folder / SHARD_FOLDER)
        write_atomically(folder / MANIFEST, text.encode())
    else:
        write_remote(below(folder, MANIFEST), text.encode())


@contextmanager
def _new_file(folder: Path | str, name: str) -> Iterator[BinaryIO]:
    if isinstance(folder, Path):
        with (
            replacing(folder / name, syncs_folder=False) as temporary,
            temporary.open("wb") as file,
        ):
            yield file
    else:
        with new_remote(below(folder, name)) as stream:
            yield stream


@final
class _HashingWriter:
    """A file to Arrow that hashes and counts what passes through."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self.num_bytes = 0
        self._file = file

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        self.digest.update(view)
        self.num_bytes += view.nbytes
        self._file.write(view)
        return view.nbytes

    def tell(self) -> int:
        return self.num_bytes

    def flush(self) -> None:
        """What is held back is written when the caller closes the file."""

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """The file belongs to the caller."""


def _batch(columns: Mapping[str, Array]) -> pa.RecordBatch:
    return pa.record_batch(
        [_fixed_size(values) for values in columns.values()], names=list(columns)
    )


def _fixed_size(values: Array) -> pa.Array:
    """Return an array of shape `(rows,)` flat, of shape `(rows, ...)` as fixed-size lists."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 1:
        return flat
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    return pa.FixedSizeListArray.from_arrays(flat, width)
