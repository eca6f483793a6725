"""What columns hold, over runs: types, constants, ids, counts."""

import numpy as np
import pyarrow as pa
import pytest

from distrain.data.column_scan import ColumnScan, combine_scans, resolve_type
from distrain.data.columns import TextRules
from distrain.data.profile import (
    RunScan,
    ScanTask,
    combine_counts,
)
from distrain.data.runs import Run

RULES = TextRules()


def scan(table: pa.Table, types: dict[str, str] | None = None) -> RunScan:
    return ScanTask(types or {}, ["t"], ["t"], RULES)(Run(0, 0, table))


def scans_of(*parts: pa.Array) -> list[ColumnScan]:
    return [scan(pa.table({"c": part})).columns["c"] for part in parts]


@pytest.mark.parametrize(
    ("parts", "type_"),
    [
        ([[1, 2], [3, None]], "int64"),
        ([[1, 2], [0.5]], "double"),
        ([[1, 2], pa.nulls(2)], "int64"),
        ([[True], [False]], "bool"),
        ([["a"], ["b"]], "string"),
        ([[1, 2], ["a"]], "string"),
        ([[True], [1]], "string"),
        ([[" 1 ", "2"], ["NA", "3"]], "int64"),
        ([["1", "2.5"]], "double"),
        ([[1.5], ["2"]], "double"),
        ([["1", "x"], ["2"]], "string"),
        ([pa.nulls(3)], "null"),
        ([pa.array([0], pa.date32()), pa.array([0], pa.timestamp("us"))], "timestamp[us]"),
        ([pa.array([0], pa.date32()), ["soon"]], "string"),
    ],
)
def test_type_holds_the_values_of_all_runs(parts: list[object], type_: str) -> None:
    assert resolve_type(scans_of(*map(pa.array, parts))) == type_


def test_numbers_are_scanned() -> None:
    column = combine_scans(scans_of(pa.array([1.0, None, 3.0]), pa.array([np.inf, -2.0])))
    assert (column.num_rows, column.num_missing, column.num_infinite) == (5, 1, 1)
    assert (column.low, column.high) == (-2.0, 3.0)
    assert column.is_whole
    assert not column.is_constant


@pytest.mark.parametrize(
    ("parts", "is_constant"),
    [
        ([[5, 5], [5]], True),
        ([[5, 5], [6]], False),
        ([["a"], ["a", "a"]], True),
        ([["a"], ["b"]], False),
        ([["a", None], ["a"]], False),
        ([["a"], pa.nulls(1)], False),
        ([[True], [True]], True),
    ],
)
def test_constant_column_is_noticed_over_runs(parts: list[object], is_constant: bool) -> None:
    assert combine_scans(scans_of(*map(pa.array, parts))).is_constant == is_constant


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([["1", None], ["2", " many ", "few"]], ("many", 3)),
        ([pa.nulls(2), ["1", "x"], ["y"]], ("x", 3)),
        ([["1", "inf"]], ("inf", 1)),
        ([["1"], ["2.5"]], None),
        ([[1], [2]], None),
    ],
)
def test_the_first_text_that_is_no_number_is_found_over_runs(
    parts: list[object], found: tuple[str, int] | None
) -> None:
    assert combine_scans(scans_of(*map(pa.array, parts))).no_number == found


@pytest.mark.parametrize(
    ("parts", "is_row_number", "is_rising"),
    [
        ([range(50), range(50, 70)], True, True),
        ([range(0, 100, 2), range(100, 120, 2)], False, True),
        ([range(50), range(49, 70)], False, False),
        ([[*range(50), None], range(50, 60)], False, False),
    ],
)
def test_counters_are_noticed_over_runs(
    parts: list[object], is_row_number: bool, is_rising: bool
) -> None:
    column = combine_scans(scans_of(*map(pa.array, parts)))
    assert (column.is_row_number, column.is_rising) == (is_row_number, is_rising)


def test_text_that_tells_rows_apart_is_noticed() -> None:
    names = [f"name {row}" for row in range(100)]
    assert combine_scans(scans_of(pa.array(names))).is_nearly_unique
    assert not combine_scans(scans_of(pa.array(names[:5] * 20))).is_nearly_unique


def test_values_are_counted_by_their_text() -> None:
    one = scan(pa.table({"t": [1, 2, 2, None]}))
    two = scan(pa.table({"t": [2.0, 3.0]}))
    assert combine_counts([one.counts["t"], two.counts["t"]]) == {"1": 1, "2": 3, "3": 1}
    assert combine_counts([one.counts["t"], None]) is None
    assert (one.num_rows, one.num_labelled) == (4, 3)


def test_settled_types_are_kept() -> None:
    column = scan(pa.table({"c": ["1", " 2"]}), {"c": "int64"}).columns["c"]
    assert (column.type, column.low, column.high) == ("int64", 1.0, 2.0)
