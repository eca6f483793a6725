"""The last pass: each task turns its run into tensors and writes the run's shards itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa

from distrain.data.clean import Bounds
from distrain.data.columns import as_float64
from distrain.data.features import Transform
from distrain.data.files import is_remote
from distrain.data.rows import RowPlan
from distrain.data.runs import Run, RunKey
from distrain.data.shards import SHARD_FOLDER, SPLITS, Array, Column, Shard, write_shard
from distrain.data.split import TRAIN, UNUSED
from distrain.errors import DataError, first_line


@final
@dataclass(frozen=True)
class RunWritten:
    """What a run became.

    Args:
        shards: by split; only those that have rows.
        columns: the shards' columns.
        outliers: rows outside the bounds, by column.
    """

    shards: dict[str, Shard]
    columns: dict[str, Column]
    outliers: dict[str, int]


@final
@dataclass(frozen=True)
class WriteTask:
    """Writes a run's shards, named by the run's place in the source.

    Args:
        rows: which rows are for what.
        transform: raw rows to tensors.
        weight: the column with row weights.
        folder: the prepared dataset's folder, being made, or its URI; every node must see it.
        places: each run's place in the source.
        bounds: of numbers that are no outliers, to count the others.
    """

    rows: RowPlan
    transform: Transform
    weight: str | None
    folder: str
    places: Mapping[RunKey, int]
    bounds: Bounds

    def __call__(self, run: Run) -> RunWritten:
        """Write a run's shards and return what was written."""
        table, split = self.rows.divide(run)
        is_used = split != UNUSED
        if not is_used.any():
            return RunWritten({}, {}, {})
        if not is_used.all():
            table, split = table.filter(pa.array(is_used)), split[is_used]
        arrays = self._tensors(table)
        columns = {
            name: Column(str(values.dtype), values.shape[1:]) for name, values in arrays.items()
        }
        shards = {}
        for number, name in enumerate(SPLITS):
            rows = np.flatnonzero(split == number)
            if len(rows):
                shards[name] = self._write(name, run.key, arrays, rows)
        return RunWritten(shards, columns, self._count_outliers(run.table))

    def _tensors(self, table: pa.Table) -> dict[str, Array]:
        arrays = {**self.transform.apply(table), **self.transform.encode_target(table)}
        if self.weight is not None:
            kind = self.rows.types[self.weight]
            weights = as_float64(table.column(self.weight), self.weight, kind, self.rows.rules)
            arrays["weight"] = weights.astype(np.float32)
        return arrays

    def _write(
        self, name: str, key: RunKey, arrays: Mapping[str, Array], rows: "np.ndarray[Any, Any]"
    ) -> Shard:
        chosen = {
            column: values[rows]
            for column, values in arrays.items()
            if column != "target" or name != SPLITS[TRAIN]
        }
        file = f"{name}-{self.places[key]:05d}.arrow"
        try:
            if is_remote(self.folder):
                return write_shard(self.folder, file, chosen)
            folder = Path(self.folder)
            # Gone if the driver gave up meanwhile: nothing must be left behind it.
            (folder / SHARD_FOLDER).stat()
            return write_shard(folder, file, chosen)
        except OSError as fault:
            raise DataError(
                f"a shard cannot be written ({fault.strerror or first_line(fault)})",
                where=self.folder,
                expected="a folder that every node sees, with room for the prepared data",
                mend="Make room, or choose another folder by data.cache.path or storage.",
            ) from fault

    def _count_outliers(self, table: pa.Table) -> dict[str, int]:
        counts = {}
        for name, (low, high) in self.bounds.items():
            kind = self.rows.types[name]
            numbers = as_float64(table.column(name), name, kind, self.rows.rules)
            finite = numbers[np.isfinite(numbers)]
            counts[name] = int(((finite < low) | (finite > high)).sum())
        return counts
