"""How a prepared dataset is written: shards and, last, the manifest; each whole or not at all."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FORMAT_VERSION: Final = 1
SPLITS: Final = ("train", "validation", "test")
MANIFEST: Final = "manifest.json"
SHARD_FOLDER: Final = "shards"

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


@final
@dataclass(frozen=True)
class Shard:
    """One Arrow file below `shards/`, as the manifest lists it."""

    file: str
    num_rows: int
    sha256: str
    num_bytes: int


def write_shard(folder: Path, file: str, columns: Mapping[str, Array]) -> Shard:
    """Write one shard below `folder`, so that it is there whole or not at all.

    Its name is durable once the manifest is written.

    Args:
        folder: the prepared dataset's folder, being made.
        file: the shard's name.
        columns: name to array of shape `(rows, *shape)`, all of the same number of rows.

    Returns:
        The shard's entry for the manifest.
    """
    batch = pa.record_batch(
        [_fixed_size(values) for values in columns.values()], names=list(columns)
    )
    sink: _HashingWriter

    def write(file_descriptor: int) -> None:
        nonlocal sink
        sink = _HashingWriter(file_descriptor)
        with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), batch.schema) as writer:
            writer.write_batch(batch)

    write_atomically(folder / SHARD_FOLDER / file, write, syncs_folder=False)
    return Shard(file, batch.num_rows, sink.digest.hexdigest(), sink.num_bytes)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest: the last act of preparing, after which the dataset counts as whole."""
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n"
    sync_folder(folder / SHARD_FOLDER)
    write_atomically(folder / MANIFEST, lambda descriptor: _write_all(descriptor, text.encode()))


def write_atomically(
    path: Path, write: Callable[[int], None], *, syncs_folder: bool = True
) -> None:
    """Create or replace a file in one step: temporary name, fsync, rename, fsync of the folder.

    Args:
        path: the file; its folder is made where it is missing.
        write: gets an open file descriptor and writes the content.
        syncs_folder: whether the file's name is made durable here; else the caller does it, once
            for many files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if syncs_folder:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames within a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@final
class _HashingWriter:
    """A file to Arrow that hashes and counts what passes through."""

    closed = False

    def __init__(self, descriptor: int) -> None:
        self.digest = hashlib.sha256()
        self.num_bytes = 0
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        self.digest.update(view)
        self.num_bytes += view.nbytes
        _write_all(self._descriptor, view)
        return view.nbytes

    def tell(self) -> int:
        return self.num_bytes

    def flush(self) -> None:
        """Nothing is held back."""

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """The descriptor belongs to the caller, who still has to sync it."""


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _fixed_size(values: Array) -> pa.Array:
    """Return an array of shape `(rows,)` flat, of shape `(rows, ...)` as fixed-size lists."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 1:
        return flat
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    return pa.FixedSizeListArray.from_arrays(flat, width)
