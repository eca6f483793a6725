"""Rows in memory become a Parquet file, named by its content."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distrain.errors import DataError
from distrain.handed.rows import write_rows


def make_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "size": [1.5, None, 3.0],
            "colour": pd.Categorical(["red", "blue", "red"]),
            7: [1, 2, 3],
            "when": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]),
        },
        index=[9, 3, 5],
    )


def test_a_frame_is_written_once_in_its_order_without_its_index(tmp_path: Path) -> None:
    first = write_rows(make_frame(), tmp_path / "given")
    again = write_rows(make_frame(), tmp_path / "given")

    table = pq.read_table(first)
    assert first == again
    assert list((tmp_path / "given").iterdir()) == [first]
    assert table.column_names == ["size", "colour", "7", "when"]
    assert table["colour"].to_pylist() == ["red", "blue", "red"]
    assert table.schema.field("colour").type == pa.string()
    assert table["7"].to_pylist() == [1, 2, 3]


def test_other_rows_are_another_file(tmp_path: Path) -> None:
    frame = make_frame()
    assert write_rows(frame, tmp_path) != write_rows(frame.iloc[::-1], tmp_path)


def test_images_keep_their_pixels(tmp_path: Path) -> None:
    images = [np.arange(4, dtype=np.uint8), np.full(4, 9, dtype=np.uint8)]
    path = write_rows(pd.DataFrame({"image": images, "label": [0, 1]}), tmp_path)
    assert pq.read_table(path)["image"].to_pylist() == [[0, 1, 2, 3], [9, 9, 9, 9]]


def test_an_arrow_table_is_taken_as_it_is(tmp_path: Path) -> None:
    table = pa.table({"a": range(200_000)})
    assert pq.read_table(write_rows(table, tmp_path)) == table


def test_mixed_types_down_a_column_are_told_with_the_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [1, "two", 3.5]})
    with pytest.raises(DataError, match=r"column age.*Convert the column, e.g. by df\[column\]"):
        write_rows(frame, tmp_path / "given")
    assert not (tmp_path / "given").exists()
