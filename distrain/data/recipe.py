"""A training split that is left where it is: what makes its shards again from the source's files.

The manifest of a streamed dataset lists the training split's shards as any other does, with their
rows and their SHA-256, but their files are not there. Beside each would-be shard stands which rows
of its run are for what, in two bits each (16 KiB a run); with the units of the source, how they are
read, and the fitted transform, that is all it takes. What is made is compared with the SHA-256, so
that a row is what it was when the dataset was prepared, or the run ends with the file's name.

Runs on copies of the same source share a dataset. Where its files lie is therefore each run's own
(`located`): the manifest names those that the dataset was prepared from.

Blocks of the plan (see `blocks.py`) are the units that have training rows: a task reads one whole.
Windows are as long as the plan's, or have as many rows as take 128 MiB where that is less: a node
holds two or three at a time, and as much again waits in Ray's object store.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import pyarrow as pa

from distrain.data.blocks import Blocks
from distrain.data.clean import Bounds, clipped
from distrain.data.files import SourceFile, current_file
from distrain.data.plain_values import PlainValue, from_plain, to_plain
from distrain.data.plan import WINDOW_ROWS
from distrain.data.prepared import PreparedDataset
from distrain.data.reading import CannotCut, Reading, Unit
from distrain.data.run_tensors import RunTensors, of_split, unpacked_assignment
from distrain.data.runs import Run, RunKey, read_runs
from distrain.data.shard_content import columns_of
from distrain.data.shards import (
    PROBE_FILE,
    Array,
    Column,
    Shard,
    assignment_file,
    shard_in_memory,
)
from distrain.data.split import TRAIN
from distrain.errors import DataError
from distrain.redaction import without_credentials

WINDOW_BYTES: Final = 128 * 2**20
# A unit is in memory whole. Files that cannot be cut, and large row groups, make large units.
MAX_UNIT_BYTES: Final = 4 * WINDOW_BYTES
_SHOWN_FILES: Final = 3


@final
@dataclass(frozen=True)
class Recipe:
    """What the manifest says of a training split that is streamed.

    Args:
        reading: how the source is read.
        units: what is read in one go, all units of the source.
        runs: the unit and the run in it that each training shard is made of, in their order.
        types: column types.
        weight: the column with row weights.
        clip: numbers of training rows are clipped to these, by column.
        window_rows: rows of a window of the plan.
        num_by_class: training rows of each class; empty for regression.
    """

    reading: Reading
    units: tuple[Unit, ...]
    runs: tuple[RunKey, ...]
    types: Mapping[str, str]
    weight: str | None
    clip: Bounds
    window_rows: int
    num_by_class: tuple[int, ...]

    def to_json(self) -> Any:
        """Return the manifest's entry."""
        return json.loads(to_plain(self).text)

    @classmethod
    def from_json(cls, entry: Any) -> "Recipe":
        """Return the recipe that `to_json` gave."""
        recipe: Recipe = from_plain(cls, PlainValue(json.dumps(entry)))
        return recipe

    @property
    def listing(self) -> tuple[SourceFile, ...]:
        """Return the source's files as they were when the dataset was prepared, in order."""
        pieces = (piece for unit in self.units for piece in unit.pieces)
        return tuple({piece.file_number: piece.file for piece in pieces}.values())

    def kept(self) -> "Recipe":
        """Return the recipe as a manifest keeps it: without the credentials in URIs."""
        pieces = (piece for unit in self.units for piece in unit.pieces)
        return self.at(
            {
                piece.file_number: replace(piece.file, uri=without_credentials(piece.file.uri))
                for piece in pieces
            }
        )

    def at(self, files: Sequence[SourceFile] | Mapping[int, SourceFile]) -> "Recipe":
        """Return the recipe for files of the same content that lie elsewhere, or were touched."""
        units = tuple(
            replace(
                unit,
                pieces=tuple(
                    replace(piece, file=files[piece.file_number]) for piece in unit.pieces
                ),
            )
            for unit in self.units
        )
        return replace(self, units=units)


def located(dataset: PreparedDataset, files: Sequence[SourceFile]) -> PreparedDataset:
    """Return a dataset that is streamed from these files; nothing is written.

    Args:
        dataset: any dataset; one that is not streamed is returned as it is.
        files: the source's, of the content that it was prepared from, in order.
    """
    if not dataset.is_streamed:
        return dataset
    recipe = Recipe.from_json(dataset.manifest["stream"])
    if recipe.listing == tuple(files):
        return dataset
    return dataset.with_manifest({**dataset.manifest, "stream": recipe.at(files).to_json()})


def streamed_files(dataset: PreparedDataset) -> tuple[SourceFile, ...]:
    """Return the files that a dataset is streamed from; none where it is not streamed."""
    if not dataset.is_streamed:
        return ()
    return Recipe.from_json(dataset.manifest["stream"]).listing


@final
class Streamed:
    """A dataset whose training split is streamed.

    Args:
        dataset: the dataset, which must have a recipe.
    """

    def __init__(self, dataset: PreparedDataset) -> None:
        self.dataset = dataset
        self.recipe = Recipe.from_json(dataset.manifest["stream"])
        self._shards: dict[int, dict[int, Shard]] = {}
        for (unit, run), shard in zip(
            self.recipe.runs, dataset.shard_split("train").shards, strict=True
        ):
            self._shards.setdefault(unit, {})[run] = shard
        self._units = list(self._shards)

    @cached_property
    def blocks(self) -> Blocks:
        """Return the blocks of the plan: the units that have training rows."""
        num_rows = (
            sum(shard.num_rows for shard in shards.values()) for shards in self._shards.values()
        )
        return Blocks(tuple(num_rows), self.recipe.window_rows)

    def shards_of(self, block: int) -> list[Shard]:
        """Return the shards that a block is made of."""
        return list(self._shards[self._units[block]].values())

    def unit_of(self, block: int) -> Unit:
        """Return the unit that a block is read from."""
        return self.recipe.units[self._units[block]]

    def first_rows(self) -> dict[str, Array]:
        """Return the first rows of the training split, two where there are as many.

        Returns:
            Column name to array of shape `(n, *shape)`.

        Raises:
            DataError: their file cannot be read, or is damaged.
        """
        columns = self.dataset.shard_split("train").columns
        content = pa.py_buffer(self.dataset.read_small(PROBE_FILE))
        flat = columns_of(content, columns, f"{self.dataset.path}, {PROBE_FILE}")
        return {name: flat[name].reshape(-1, *form.shape) for name, form in columns.items()}

    def make(self, unit: Unit) -> Iterator[tuple[Shard, pa.Buffer]]:
        """Read a unit, and yield each training shard of it with its content.

        Args:
            unit: from `unit_of`.

        Raises:
            DataError: a file has changed since the dataset was prepared, or cannot be read; or the
                dataset is damaged.
        """
        if self.recipe.reading.format != "built-in":
            _check_unchanged(unit)
        missing = dict(self._shards[unit.number])
        try:
            for run in read_runs(unit, self.recipe.reading):
                shard = missing.pop(run.number, None)
                if shard is not None:
                    yield shard, self._content(unit, run, shard)
        except CannotCut as fault:
            raise _changed(unit, "its records go over lines") from fault
        if missing:
            raise _changed(unit, "it has fewer rows")

    def _content(self, unit: Unit, run: Run, shard: Shard) -> pa.Buffer:
        recipe = self.recipe
        table, rules = run.table, recipe.reading.text
        packed = self.dataset.read_small(assignment_file(shard.file))
        if len(packed) != -(-2 * table.num_rows // 8):
            raise _changed(unit, f"there are {table.num_rows:,} rows where there were others")
        split = unpacked_assignment(packed, table.num_rows)
        if recipe.clip:
            table = clipped(table, split == TRAIN, recipe.clip, recipe.types, rules)
        tensors = RunTensors(self.dataset.transform, recipe.weight, recipe.types, rules)
        made, content = shard_in_memory(shard.file, of_split(*tensors.of_used(table, split), TRAIN))
        if made.sha256 != shard.sha256:
            raise _changed(unit, "its rows are others")
        return content


def window_rows(columns: Mapping[str, Column]) -> int:
    """Return the rows of a window of a split that is streamed, at least 1.

    Args:
        columns: of the training split.
    """
    row_bytes = sum(column.width * np.dtype(column.dtype).itemsize for column in columns.values())
    return max(1, min(WINDOW_ROWS, WINDOW_BYTES // max(1, row_bytes)))


def check_units(units: Sequence[Unit], runs: Sequence[RunKey], shards: Sequence[Shard]) -> None:
    """Refuse a unit whose training rows take too much memory.

    Args:
        units: of the source.
        runs: the unit, and the run in it, of each training shard.
        shards: the training shards.

    Raises:
        DataError: there is one; its file is named.
    """
    num_bytes = dict.fromkeys(range(len(units)), 0)
    for (unit, _), shard in zip(runs, shards, strict=True):
        num_bytes[unit] += shard.num_bytes
    for unit, size in num_bytes.items():
        if size > MAX_UNIT_BYTES:
            raise DataError(
                f"{size:,} bytes of training rows have to be read in one go, because the file "
                "cannot be cut there",
                where=f"data.ingest = stream, {_names(units[unit])}",
                expected=f"at most {MAX_UNIT_BYTES:,}",
                mend="Write Parquet with smaller row groups, text that is not compressed and has "
                "no line breaks in its fields, or more and smaller files; or use data.ingest: "
                "prepared.",
            )


def _check_unchanged(unit: Unit) -> None:
    for piece in unit.pieces:
        if current_file(piece.file.uri) != piece.file:
            raise _changed(unit, f"{piece.file.uri} has another size or modification time")


def _changed(unit: Unit, how: str) -> DataError:
    return DataError(
        f"the source has changed since it was prepared: {how}",
        where=_names(unit),
        expected="files that stay as they are while they are streamed",
        mend="Put the files back, or start a new run with `distrain train`; data.ingest: prepared "
        "keeps a copy.",
    )


def _names(unit: Unit) -> str:
    names = [piece.file.uri for piece in unit.pieces]
    return ", ".join(names[:_SHOWN_FILES]) + (", ..." if len(names) > _SHOWN_FILES else "")
