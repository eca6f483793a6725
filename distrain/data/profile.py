"""The look at a run that tells what its columns hold."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from distrain.data.column_scan import ColumnScan
from distrain.data.columns import (
    NUMBER_TYPES,
    Floats,
    TextRules,
    as_float64,
    as_text,
    clean_text,
    is_text,
    numbers_in,
    plain,
    type_name,
)
from distrain.data.reading import PieceRead
from distrain.data.runs import Run, RunKey

# Above so many different values no column is a set of classes.
MAX_CLASSES: Final = 10_000
_NUMBER: Final = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_WITH_COMMA: Final = r"^\s*[+-]?[0-9][0-9.' ]*,[0-9]+([.,][0-9]+)*\s*$"
_DATE: Final = (
    r"^\s*([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}"
    r"|[0-9]{1,2}[-/. ]([0-9]{1,2}|[A-Za-z]{3,9})[-/. ][0-9]{2,4})\b"
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
        found = {name: columns[name].type for name in self.targets if name in columns}
        labelled = labelled_rows(table, self.targets, {**self.types, **found}, self.rules)
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
    pieces: tuple[PieceRead, ...] = ()


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


def _scan_column(column: pa.Array, name: str, type_: str | None, rules: TextRules) -> ColumnScan:
    kind = type_ or type_name(column.type) or "string"
    if kind in ("image", "null"):
        return ColumnScan(kind, len(column), column.null_count)
    if kind == "string":
        return _scan_text(as_text(column, name, kind, rules))
    if kind in NUMBER_TYPES and is_text(column.type):
        text = clean_text(column, rules)
        if numbers_in(text) is None:  # the driver knows in which file that is
            return _scan_text(text)
    return _scan_numbers(as_float64(column, name, kind, rules), kind)


def _scan_text(text: pa.Array) -> ColumnScan:
    distinct = pc.unique(text.drop_null())
    numbers = _finite_numbers(distinct)
    return ColumnScan(
        "string",
        len(text),
        text.null_count,
        is_whole=numbers is not None and bool((np.trunc(numbers) == numbers).all()),
        num_distinct=len(distinct),
        is_numeric_text=numbers is not None,
        only=distinct[0].as_py() if len(distinct) == 1 else None,
        no_number=_first_no_number(text, distinct) if numbers is None else None,
        num_number_like=0 if numbers is not None else _num_like(distinct, _NUMBER),
        num_date_like=0 if numbers is not None else _num_like(distinct, _DATE),
        num_comma_like=0 if numbers is not None else _num_like(distinct, _WITH_COMMA),
        num_words=_num_words(distinct) if len(distinct) > len(text) / 2 else 0,
    )


def _num_like(texts: pa.Array, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(texts, pattern)).as_py() or 0)


def _num_words(texts: pa.Array) -> int:
    spaces = pc.sum(pc.count_substring(texts, " ")).as_py() or 0
    return int(spaces) + len(texts)


def _finite_numbers(text: pa.Array) -> Floats | None:
    """Return text as numbers if every one is a finite number, else None."""
    numbers = numbers_in(text)
    return numbers if numbers is not None and np.isfinite(numbers).all() else None


def _first_no_number(text: pa.Array, distinct: pa.Array) -> tuple[str, int]:
    """Return the first text that is no finite number, and its row; `distinct` is in text's order.

    Texts are cast many at a time: one by one is slow where all but the last are numbers.
    """
    place = bisect_left(
        range(len(distinct)), True, key=lambda last: _finite_numbers(distinct[: last + 1]) is None
    )
    return distinct[place].as_py(), pc.index(text, distinct[place]).as_py()


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
