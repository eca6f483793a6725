"""The last pass: each task turns its run into tensors and writes the run's shards itself.

Where training rows are streamed, their shard is made and hashed, but not written. What is written
in its place says which rows of the run are for what; `recipe.py` makes the same shard of it again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, final

import numpy as np
import pyarrow as pa

from distrain.config.names import is_remote
from distrain.data.clean import Bounds
from distrain.data.columns import as_float64
from distrain.data.features import Transform
from distrain.data.row_sample import RowSample, sample_of
from distrain.data.rows import RowPlan
from distrain.data.run_tensors import RunTensors, of_split, packed_assignment
from distrain.data.runs import Run, RunKey
from distrain.data.shards import (
    PROBE_ROWS,
    SHARD_FOLDER,
    SPLITS,
    Array,
    Column,
    Shard,
    SmallFile,
    assignment_file,
    shard_in_memory,
    write_shard,
    write_small,
)
from distrain.data.split import TRAIN, UNUSED, Assignment
from distrain.data.tensor_keys import Keys, kept_keys, keys_of
from distrain.errors import DataError, first_line

T = TypeVar("T")
U = TypeVar("U")


@final
@dataclass(frozen=True)
class RunWritten:
    """What a run became.

    Args:
        shards: by split; only those that have rows.
        columns: the shards' columns.
        outliers: rows outside the bounds, by column.
        num_by_class: training rows of each class, where they are streamed and have classes.
        assigned: the file that says which rows are for what, where training rows are streamed.
        probe: the first training rows, where they are streamed, two at most.
        keys: of the training rows, where they are streamed, uint64, `(n,)`.
        sample: a few rows; None where there are none, or rows are images.
    """

    shards: dict[str, Shard]
    columns: dict[str, Column]
    outliers: dict[str, int]
    num_by_class: tuple[int, ...] = ()
    assigned: SmallFile | None = None
    probe: dict[str, Array] = field(default_factory=dict)
    keys: Keys = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    sample: RowSample | None = None


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
        streams: whether the training rows are left where they are.
        one_in: of one training row in so many the key is kept, where they are.
        sample_rows: of a run, that are sampled.
    """

    rows: RowPlan
    transform: Transform
    weight: str | None
    folder: str
    places: Mapping[RunKey, int]
    bounds: Bounds
    streams: bool = False
    one_in: int = 1
    sample_rows: int = 1

    def __call__(self, run: Run) -> RunWritten:
        """Write a run's shards and return what was written."""
        table, split = self.rows.divide(run)
        if not (split != UNUSED).any():
            return RunWritten({}, {}, {})
        assigned = None
        if self.streams and (split == TRAIN).any():
            file = assignment_file(self._file(SPLITS[TRAIN], run.key))
            assigned = written(self.folder, write_small, file, packed_assignment(split))
        tensors = RunTensors(self.transform, self.weight, self.rows.types, self.rows.rules)
        arrays, split = tensors.of_used(table, split)
        columns = {
            name: Column(str(values.dtype), values.shape[1:]) for name, values in arrays.items()
        }
        shards, probe, keys = {}, dict[str, Array](), np.empty(0, dtype=np.uint64)
        for number, name in enumerate(SPLITS):
            if not (split == number).any():
                continue
            file, content = self._file(name, run.key), of_split(arrays, split, number)
            if self.streams and number == TRAIN:
                shards[name] = shard_in_memory(file, content)[0]
                probe = {column: values[:PROBE_ROWS] for column, values in content.items()}
                keys = kept_keys(keys_of(content["x"], content["y"]), self.one_in)
            else:
                shards[name] = written(self.folder, write_shard, file, content)
        outliers = self._count_outliers(run.table)
        num_by_class = self._num_by_class(arrays, split)
        sample = sample_of(arrays, split, self.sample_rows)
        return RunWritten(shards, columns, outliers, num_by_class, assigned, probe, keys, sample)

    def _file(self, split: str, key: RunKey) -> str:
        return f"{split}-{self.places[key]:05d}.arrow"

    def _num_by_class(self, arrays: Mapping[str, Array], split: Assignment) -> tuple[int, ...]:
        classes = self.transform.classes
        if not self.streams or not classes:
            return ()
        counts = np.bincount(arrays["y"][split == TRAIN], minlength=len(classes))
        return tuple(int(count) for count in counts)

    def _count_outliers(self, table: pa.Table) -> dict[str, int]:
        counts = {}
        for name, (low, high) in self.bounds.items():
            kind = self.rows.types[name]
            numbers = as_float64(table.column(name), name, kind, self.rows.rules)
            finite = numbers[np.isfinite(numbers)]
            counts[name] = int(((finite < low) | (finite > high)).sum())
        return counts


def written(folder: str, write: Callable[[Path | str, str, T], U], file: str, content: T) -> U:
    """Write a file of a prepared dataset that is being made, and return what `write` gives.

    Args:
        folder: the dataset's folder, or its URI.
        write: `write_shard` or `write_small`.
        file: its name.
        content: what is written.

    Raises:
        DataError: it cannot be written.
    """
    try:
        if is_remote(folder):
            return write(folder, file, content)
        # Gone if the driver gave up meanwhile: nothing must be left behind it.
        (Path(folder) / SHARD_FOLDER).stat()
        return write(Path(folder), file, content)
    except OSError as fault:
        raise DataError(
            f"a shard cannot be written ({fault.strerror or first_line(fault)})",
            where=folder,
            expected="a folder that every node sees, with room for the prepared data",
            mend="Make room, or choose another folder by data.cache.path or storage.",
        ) from fault
