"""Rows of a ledger beside those of another."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distrain.jobs.chaos.rows import Rows, rows_missing, rows_repeated, trained_rows

EXPECTED = [(1, 0), (1, 1), (1, 2), (2, 0)]


def rows(folder: Path, found: Sequence[tuple[int, int]]) -> Rows:
    (folder / "ledger").mkdir(parents=True)
    epochs, numbers = zip(*found, strict=True)
    table = pa.table({"epoch": pa.array(epochs, pa.int64()), "row": pa.array(numbers, pa.int64())})
    pq.write_table(table, folder / "ledger" / "step-00000001-rank-0.parquet")
    return trained_rows(folder)


@pytest.mark.parametrize(
    ("found", "repeated", "missing"),
    [
        (EXPECTED, 0, 0),
        (EXPECTED[::-1], 0, 0),
        ([*EXPECTED, (1, 2)], 1, 0),
        (EXPECTED[:-1], 0, 1),
        ([*EXPECTED[:-1], (2, 1)], 1, 1),
    ],
)
def test_rows_too_many_and_too_few_are_counted(
    tmp_path: Path, found: list[tuple[int, int]], repeated: int, missing: int
) -> None:
    expected = rows(tmp_path / "undisturbed", EXPECTED)
    trained = rows(tmp_path / "other", found)

    assert rows_repeated(trained, expected) == repeated
    assert rows_missing(trained, expected) == missing
