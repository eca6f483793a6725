import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from distrain.errors import ConfigError
from distrain.predictions_file import check_out, open_writer

FIRST = pa.table({"name": ["a,b", None], "x": [0.1, float("nan")], "image": [[1, 2], [3, 4]]})
SECOND = pa.table({"name": ["ü"], "x": [1e-300], "image": [[5, 6]]})


def write(path: Path, *tables: pa.Table) -> Path:
    with open_writer(check_out(path)) as writer:
        for table in tables:
            writer.write(table)
    return path


def test_csv_has_one_header_and_every_row(tmp_path: Path) -> None:
    path = write(tmp_path / "out.csv", FIRST, SECOND)
    found = pd.read_csv(path)
    assert found["name"].tolist()[0::2] == ["a,b", "ü"]
    assert found["x"].tolist()[0::2] == [0.1, 1e-300]
    assert found["image"].map(json.loads).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_json_lines_have_null_for_what_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl", FIRST, SECOND)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows[1] == {"name": None, "x": None, "image": [3, 4]}
    assert rows[2] == {"name": "ü", "x": 1e-300, "image": [5, 6]}


def test_parquet_keeps_types(tmp_path: Path) -> None:
    path = write(tmp_path / "out.parquet", FIRST, SECOND)
    found = pyarrow.parquet.read_table(path)
    assert found.schema.types == FIRST.schema.types
    assert found.slice(2).equals(SECOND)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_no_rows_make_a_file(tmp_path: Path, name: str) -> None:
    assert write(tmp_path / name).is_file()


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_failure_leaves_nothing(tmp_path: Path, name: str) -> None:
    def fail() -> None:
        with open_writer(tmp_path / name) as writer:
            writer.write(FIRST)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"

    def collide() -> None:
        with open_writer(out) as writer:
            writer.write(SECOND)
            out.write_text("mine")

    with pytest.raises(ConfigError, match="there already"):
        collide()
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.csv", "the file is there already.*nothing is overwritten"),
        ("out.xlsx", r"names no format.*\.csv, \.parquet, \.jsonl"),
        ("out.json", r"names no format.*Write out\.jsonl"),
        ("out", "names no format"),
        ("no/such/out.csv", r"folder does not exist.*mkdir -p"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_first(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "there.csv").touch()
    with pytest.raises(ConfigError, match=message):
        check_out(tmp_path / name)
