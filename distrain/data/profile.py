"""What columns hold: one look at each run, combined in order into types, kinds and findings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from distrain.data.columns import (
    NUMBER_TYPES,
    TextRules,
    as_float64,
    as_text,
    common_type,
    numbers_in,
    plain,
    type_name,
)
from distrain.data.reading import PieceRead
from distrain.data.runs import Run, RunKey

# Above so many different values no column is a set of classes.
MAX_CLASSES: Final = 10_000
# Text with more different values than this share of its rows tells rows apart, not kinds of rows.
NEARLY_UNIQUE: Final = 0.9
_FEW_ROWS: Final = 20


@final
@dataclass(frozen=True)
class ColumnScan:
    """What some rows of a column hold; numbers and text each fill their own fields.

    Args:
        type: the column type.
        num_rows: how many rows.
        num_missing: rows without a value (NaN counts as none).
        num_infinite: rows that are plus or minus infinity.
        low: least finite number.
        high: greatest finite number.
        is_whole: whether all numbers are whole.
        is_rising: whether each number is larger than the one before, none missing.
        first: first number.
        last: last number.
        num_distinct: sum over runs of the different texts in each.
        is_numeric_text: whether all texts are numbers.
        only: the only text there is, None for none or several.
    """

    type: str
    num_rows: int
    num_missing: int
    num_infinite: int = 0
    low: float = np.inf
    high: float = -np.inf
    is_whole: bool = True
    is_rising: bool = False
    first: float = np.nan
    last: float = np.nan
    num_distinct: int = 0
    is_numeric_text: bool = True
    only: str | None = None

    @property
    def num_present(self) -> int:
        """Return how many rows have a value."""
        return self.num_rows - self.num_missing

    @property
    def is_constant(self) -> bool:
        """Return whether every row has the same value."""
        if self.num_missing or not self.num_rows:
            return False
        return self.only is not None or (self.low == self.high and not self.num_infinite)

    @property
    def is_row_number(self) -> bool:
        """Return whether whole numbers count the rows, one up from each to the next."""
        return (
            self.is_rising
            and self.is_whole
            and self.num_rows >= _FEW_ROWS
            and self.last - self.first == self.num_rows - 1
        )

    @property
    def is_nearly_unique(self) -> bool:
        """Return whether nearly every row has a text of its own."""
        return (
            self.num_present >= _FEW_ROWS and self.num_distinct >= NEARLY_UNIQUE * self.num_present
        )


@final
@dataclass(frozen=True)
class ScanTask:
    """What a scan looks at.

    Args:
        types: column types that are fixed already; others are as read.
        counted: columns whose values are counted one by one: class targets, fixed splits.
        targets: rows with a value in all of these are labelled.
        rules: how text is read.
    """

    types: Mapping[str, str]
    counted: Sequence[str]
    targets: Sequence[str]
    rules: TextRules

    def __call__(self, run: Run) -> "RunScan":
        """Return what a run holds."""
        table = run.table
        columns = {
            name: _scan_column(plain(table.column(name)), name, self.types.get(name), self.rules)
            for name in table.column_names
        }
        counts = {
            name: _count_values(plain(table.column(name)), name, columns[name].type, self.rules)
            for name in self.counted
            if name in table.column_names
        }
        labelled = labelled_rows(table, self.targets, self.types, self.rules)
        return RunScan(run.key, table.num_rows, int(labelled.sum()), columns, counts, run.pieces)


@final
@dataclass(frozen=True)
class RunScan:
    """What one run holds.

    Args:
        key: the run.
        num_rows: its rows.
        num_labelled: its rows with all targets.
        columns: each column's scan.
        counts: rows by value, as text, for the counted columns; None for too many values.
        pieces: what was read for the unit, in its last run.
    """

    key: RunKey
    num_rows: int
    num_labelled: int
    columns: Mapping[str, ColumnScan]
    counts: Mapping[str, dict[str, int] | None]
    pieces: Sequence[PieceRead] = field(default_factory=tuple)


def labelled_rows(
    table: pa.Table, targets: Sequence[str], types: Mapping[str, str], rules: TextRules
) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Return which rows have a value in every target, shape `(n,)`."""
    has_all = np.ones(table.num_rows, dtype=np.bool_)
    for name in targets:
        if name not in table.column_names:
            continue
        column = plain(table.column(name))
        kind = types.get(name) or type_name(column.type) or "string"
        if kind in NUMBER_TYPES:
            has_all &= ~np.isnan(as_float64(column, name, kind, rules))
        else:
            has_all &= as_text(column, name, kind, rules).is_valid().to_numpy(zero_copy_only=False)
    return has_all


def combine_scans(scans: Sequence[ColumnScan]) -> ColumnScan:
    """Return what the rows of all scans hold together, given in their order."""
    return reduce(_combine_two, scans)


def combine_counts(counts: Iterable[dict[str, int] | None]) -> dict[str, int] | None:
    """Return rows by value over all runs, None where there are too many values."""
    total: dict[str, int] = {}
    for part in counts:
        if part is None:
            return None
        for value, number in part.items():
            total[value] = total.get(value, 0) + number
        if len(total) > MAX_CLASSES:
            return None
    return total


def resolve_type(scans: Sequence[ColumnScan]) -> str:
    """Return the one type of a column that runs may have read differently.

    Text that is all numbers is numbers, whether in all runs or where others are numbers.
    """
    filled = [scan for scan in scans if scan.num_present]
    if not filled:
        return "null"
    kinds = [scan.type for scan in filled]
    if all(
        k in NUMBER_TYPES or (s.type == "string" and s.is_numeric_text)
        for k, s in zip(kinds, filled, strict=True)
    ):
        whole = all(s.is_whole if s.type == "string" else s.type == "int64" for s in filled)
        return "int64" if whole else "double"
    return reduce(common_type, kinds)


def _scan_column(column: pa.Array, name: str, type_: str | None, rules: TextRules) -> ColumnScan:
    kind = type_ or type_name(column.type) or "string"
    if kind in ("image", "null"):
        return ColumnScan(kind, len(column), column.null_count)
    if kind == "string":
        return _scan_text(as_text(column, name, kind, rules))
    return _scan_numbers(as_float64(column, name, kind, rules), kind)


def _scan_text(text: pa.Array) -> ColumnScan:
    distinct = pc.unique(text.drop_null())
    numbers = numbers_in(distinct)
    is_numeric = numbers is not None and bool(np.isfinite(numbers).all())
    return ColumnScan(
        "string",
        len(text),
        text.null_count,
        is_whole=numbers is not None and is_numeric and bool((np.trunc(numbers) == numbers).all()),
        num_distinct=len(distinct),
        is_numeric_text=is_numeric,
        only=distinct[0].as_py() if len(distinct) == 1 else None,
    )


def _scan_numbers(numbers: "np.ndarray[Any, np.dtype[np.float64]]", kind: str) -> ColumnScan:
    is_missing = np.isnan(numbers)
    finite = numbers[np.isfinite(numbers)]
    num_missing = int(is_missing.sum())
    if not len(finite):
        return ColumnScan(kind, len(numbers), num_missing, len(numbers) - num_missing)
    return ColumnScan(
        kind,
        len(numbers),
        num_missing,
        len(numbers) - num_missing - len(finite),
        float(finite.min()),
        float(finite.max()),
        is_whole=kind != "double" or bool((np.trunc(finite) == finite).all()),
        is_rising=len(finite) == len(numbers) and bool((np.diff(finite) > 0).all()),
        first=float(finite[0]),
        last=float(finite[-1]),
    )


def _combine_two(one: ColumnScan, two: ColumnScan) -> ColumnScan:
    if not one.num_present or not two.num_present:
        full, empty = (one, two) if one.num_present else (two, one)
        return _with_missing(full, empty.num_rows)
    return ColumnScan(
        common_type(one.type, two.type),
        one.num_rows + two.num_rows,
        one.num_missing + two.num_missing,
        one.num_infinite + two.num_infinite,
        min(one.low, two.low),
        max(one.high, two.high),
        is_whole=one.is_whole and two.is_whole,
        is_rising=one.is_rising and two.is_rising and one.last < two.first,
        first=one.first,
        last=two.last,
        num_distinct=one.num_distinct + two.num_distinct,
        is_numeric_text=one.is_numeric_text and two.is_numeric_text,
        only=one.only if one.only == two.only else None,
    )


def _with_missing(scan: ColumnScan, num_missing: int) -> ColumnScan:
    fields = {**scan.__dict__, "num_rows": scan.num_rows + num_missing}
    fields["num_missing"] = scan.num_missing + num_missing
    fields["is_rising"] = scan.is_rising and not num_missing
    return ColumnScan(**fields)


def _count_values(
    column: pa.Array, name: str, kind: str, rules: TextRules
) -> dict[str, int] | None:
    """Return rows by value as text, null left out; None for too many values."""
    if kind == "image":
        return None
    counted = pc.value_counts(as_text(column, name, kind, rules).drop_null())
    if len(counted) > MAX_CLASSES:
        return None
    values, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    return dict(zip(values, counts, strict=True))
