"""Which rows of a run belong to which split, after cleaning. Pure, so every pass finds the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.clean import Bounds, clipped, rows_outside, rows_with_missing
from distrain.data.columns import TextRules, as_float64, as_text
from distrain.data.rowkeys import Keys, row_keys
from distrain.data.runs import Run, RunKey
from distrain.data.split import (
    TEST,
    TRAIN,
    UNUSED,
    Assignment,
    SplitPlan,
    assign,
    assign_by_hash,
    assign_by_time,
    assign_by_word,
)
from distrain.data.target import TargetPlan


@final
@dataclass(frozen=True)
class RowPlan:
    """All that a task needs to divide and clean the rows of a run.

    Args:
        target: what is predicted; rows without it are used for nothing.
        split: how rows are divided; None: all are for test, and none is cleaned.
        split_column: what splits by a column look at.
        types: column types.
        rules: how text is read.
        repeated: rows of each run that repeat an earlier training row and are dropped.
        required: columns in which a training row must have a value.
        bounds: of outliers, by column; empty: all are kept.
        clips: whether numbers outside their bounds are clipped; else the row is dropped.
    """

    target: TargetPlan
    split: SplitPlan | None
    split_column: str | None
    types: Mapping[str, str]
    rules: TextRules
    repeated: Mapping[RunKey, npt.NDArray[np.int64]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=dict)
    clips: bool = False

    def divide(self, run: Run) -> tuple[pa.Table, Assignment]:
        """Return a run's rows, training rows clipped, and each row's split, `(n,)`."""
        table = run.table
        if not table.num_rows:
            return table, np.empty(0, dtype=np.int8)
        codes = self.target.codes(table, self.rules)
        if self.split is None:
            return table, np.where(codes >= 0, TEST, UNUSED).astype(np.int8)
        split = self._assign(self.split, run, codes)
        split[self.repeated.get(run.key, np.empty(0, dtype=np.int64))] = UNUSED
        if self.required:
            lacking = rows_with_missing(table, self.required, self.types, self.rules)
            split[(split == TRAIN) & lacking] = UNUSED
        if self.bounds and self.clips:
            table = clipped(table, split == TRAIN, self.bounds, self.types, self.rules)
        elif self.bounds:
            outside = rows_outside(table, self.bounds, self.types, self.rules)
            split[(split == TRAIN) & outside] = UNUSED
        return table, split

    def keys(self, table: pa.Table, columns: Sequence[str]) -> Keys:
        """Return a key for each row over some columns and the target, `(n,)`."""
        is_number = self.target.task == "regression"
        keyed = [*columns, *(self.target.names if is_number else ())]
        return row_keys(table, keyed, self.types, self.rules, self.target.codes(table, self.rules))

    def _assign(self, split: SplitPlan, run: Run, codes: npt.NDArray[np.int64]) -> Assignment:
        if split.kind == "random":
            codes = np.minimum(codes, 0)
        if split.kind in ("random", "stratified"):
            return assign(split, run.key, codes)
        name = self.split_column
        assert name is not None, "the configuration's checks ask for a column"
        if split.kind == "time":
            times = as_float64(run.table.column(name), name, self.types[name], self.rules)
            return np.where(codes >= 0, assign_by_time(split, times), UNUSED).astype(np.int8)
        values = as_text(run.table.column(name), name, self.types[name], self.rules)
        by_value: Any = (
            assign_by_word(values, name) if split.kind == "fixed" else assign_by_hash(split, values)
        )
        assignment: Assignment = np.where(codes >= 0, by_value, UNUSED).astype(np.int8)
        return assignment
