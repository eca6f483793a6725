"""The on-disk form of a prepared dataset: a manifest and Arrow shards; rows are taken by index.

```
<digest>/manifest.json            what is here, with hashes; written last, so its presence says done
<digest>/shards/train-00000.arrow one record batch of fixed-size columns, mapped, never copied whole
```

A split's rows are numbered from 0 through its shards in the order of the manifest, which is the
order of the source. Shards are mapped when first touched, so all processes of a node share one copy
in the page cache.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.features import Transform
from distrain.data.shards import (
    FORMAT_VERSION,
    MANIFEST,
    SHARD_FOLDER,
    SPLITS,
    Array,
    Column,
    Shard,
)
from distrain.errors import DataError

__all__ = ["Array", "Column", "PreparedDataset", "Shard", "Split"]

# Each mapping holds a file descriptor, and 1,024 is a common limit for a process.
MAX_MAPPED_SHARDS: Final = 256


@final
class Split:
    """The rows of one split, by number.

    Args:
        folder: the prepared dataset's folder.
        shards: its shards, in order.
        columns: its columns by name.
    """

    def __init__(
        self, folder: Path, shards: Sequence[Shard], columns: Mapping[str, Column]
    ) -> None:
        self.shards: tuple[Shard, ...] = tuple(shards)
        self.columns: dict[str, Column] = dict(columns)
        self._folder = folder
        self._starts = np.cumsum([0, *(shard.num_rows for shard in self.shards)], dtype=np.int64)
        self._mapped: OrderedDict[int, dict[str, Array]] = OrderedDict()

    @property
    def num_rows(self) -> int:
        """Return the number of rows."""
        return int(self._starts[-1])

    def take(self, indices: npt.NDArray[np.int64]) -> dict[str, Array]:
        """Return copies of some rows, in the order asked for.

        Args:
            indices: row numbers in [0, num_rows), any order, repeats allowed, shape `(n,)`.

        Returns:
            Column name to array of shape `(n, *shape)`.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        self._check_range(wanted)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        bounds = np.searchsorted(ordered, self._starts)
        rows = self._empty(len(wanted))
        # Ascending numbers read each shard once and front to back; `order` puts rows in place.
        for shard in np.flatnonzero(np.diff(bounds)):
            part = slice(bounds[shard], bounds[shard + 1])
            source = self._map(int(shard))
            local = ordered[part] - self._starts[shard]
            for name, values in source.items():
                rows[name][order[part]] = values[local]
        return self._shaped(rows)

    def slice(self, start: int, stop: int) -> dict[str, Array]:
        """Return copies of the rows from `start` up to, not including, `stop`.

        Returns:
            Column name to array of shape `(stop - start, *shape)`.
        """
        if not 0 <= start <= stop <= self.num_rows:
            raise IndexError(f"rows {start} to {stop} of a split of {self.num_rows}")
        rows = self._empty(stop - start)
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for shard in range(first, len(self.shards)):
            offset = int(self._starts[shard])
            if offset >= stop:
                break
            low, high = max(start, offset), min(stop, int(self._starts[shard + 1]))
            for name, values in self._map(shard).items():
                rows[name][low - start : high - start] = values[low - offset : high - offset]
        return self._shaped(rows)

    def _check_range(self, wanted: npt.NDArray[np.int64]) -> None:
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.num_rows):
            raise IndexError(
                f"row numbers {wanted.min()} to {wanted.max()} of a split of {self.num_rows}"
            )

    def _empty(self, num_rows: int) -> dict[str, Array]:
        return {
            name: np.empty((num_rows, column.width), dtype=column.dtype)
            for name, column in self.columns.items()
        }

    def _shaped(self, rows: dict[str, Array]) -> dict[str, Array]:
        return {
            name: values.reshape(len(values), *self.columns[name].shape)
            for name, values in rows.items()
        }

    def _map(self, number: int) -> dict[str, Array]:
        """Return shard `number` as read-only arrays of shape `(rows, width)` on mapped memory."""
        mapped = self._mapped.get(number)
        if mapped is None:
            path = self._folder / SHARD_FOLDER / self.shards[number].file
            mapped = self._mapped[number] = _map_shard(path, self.columns)
            if len(self._mapped) > MAX_MAPPED_SHARDS:
                self._mapped.popitem(last=False)
        else:
            self._mapped.move_to_end(number)
        return mapped


@final
class PreparedDataset:
    """A prepared dataset, opened for reading.

    Args:
        path: its folder.
        manifest: the parsed `manifest.json`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | Path) -> "PreparedDataset":
        """Return the prepared dataset in a folder.

        Raises:
            DataError: there is none, it is of another format, or shards are missing or cut short.
        """
        folder = Path(path)
        dataset = cls(folder, _read_manifest(folder))
        for shard in dataset.shards():
            dataset._check_size(shard)
        return dataset

    @property
    def digest(self) -> str:
        """Return the SHA-256 (hex) over sources, recipe and format."""
        return str(self.manifest["digest"])

    @cached_property
    def transform(self) -> Transform:
        """Return the fitted transform between raw columns and tensors."""
        return Transform.from_json(self.manifest["transform"])

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Return all columns by name; `target` is only in validation and test."""
        return {
            name: Column(entry["dtype"], tuple(entry["shape"]))
            for name, entry in self.manifest["columns"].items()
        }

    def split(self, name: str) -> Split:
        """Return the split `train`, `validation` or `test`; it may be empty."""
        shards = [Shard(**entry) for entry in self.manifest["splits"][name]["shards"]]
        columns = {
            column: form
            for column, form in self.columns.items()
            if column != "target" or name != "train"
        }
        return Split(self.path, shards, columns)

    def shards(self) -> list[Shard]:
        """Return the shards of all splits, in order."""
        return [
            Shard(**entry) for name in SPLITS for entry in self.manifest["splits"][name]["shards"]
        ]

    def _check_size(self, shard: Shard) -> None:
        path = self.path / SHARD_FOLDER / shard.file
        if not path.is_file():
            raise _damaged(path, "the shard is missing", f"a file of {shard.num_bytes:,} bytes")
        size = path.stat().st_size
        if size != shard.num_bytes:
            raise _damaged(
                path, f"the shard has {size:,} bytes", f"{shard.num_bytes:,}, as the manifest says"
            )


def _map_shard(path: Path, columns: Mapping[str, Column]) -> dict[str, Array]:
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    except (OSError, pa.ArrowInvalid) as fault:
        raise _damaged(path, f"the shard cannot be read ({fault})", "an Arrow file") from fault
    return {
        name: _flat(batch.column(name)).reshape(-1, column.width)
        for name, column in columns.items()
    }


def _flat(array: pa.Array) -> Array:
    values = array.values if pa.types.is_fixed_size_list(array.type) else array
    flat: Array = values.to_numpy(zero_copy_only=True)
    return flat


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise DataError(
            "no prepared dataset is here",
            where=str(folder),
            expected=f"a folder with {MANIFEST}",
            mend="Prepare the data again; that makes the folder.",
        ) from fault
    except (OSError, ValueError) as fault:
        raise _damaged(path, f"the manifest cannot be read ({fault})", "JSON") from fault
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT_VERSION:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise _damaged(path, f"the format is {found!r}", f"format {FORMAT_VERSION}")
    return manifest


def _damaged(path: Path, message: str, expected: str) -> DataError:
    return DataError(
        message,
        where=str(path),
        expected=expected,
        mend="Remove the prepared dataset's folder and run again: it will be made anew.",
    )
