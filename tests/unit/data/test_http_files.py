"""Sources at a web server: read by ranges or whole, and known again by what the server says."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from distrain.config.data import ReadSettings
from distrain.data import http_files, units
from distrain.data.files import open_file
from distrain.data.opening import open_source
from distrain.data.runs import read_runs
from distrain.data.sources import list_source
from distrain.errors import DataError
from tests.file_formats import TABLES
from tests.web_server import HANDLERS, CutsShort, web_server

COLUMNS = {"age": list(range(500)), "word": [f"word {row % 7}" for row in range(500)]}


@pytest.fixture(params=HANDLERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    for name in ("rows.csv", "rows.csv.gz", "rows.parquet", "rows.npz"):
        TABLES[name](tmp_path / name, COLUMNS)
    with web_server(tmp_path, HANDLERS[request.param]) as url:
        yield url


def table_of(source: str) -> pa.Table:
    opened = open_source(source, None, ReadSettings())
    cut = units.cut_into_units(opened.listing, opened.reading)
    tables = [run.table for unit in cut for run in read_runs(unit, opened.reading)]
    return pa.concat_tables([table for table in tables if table.num_rows])


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet", "rows.npz"])
def test_files_of_a_web_server_are_read(site: str, name: str) -> None:
    assert table_of(f"{site}/{name}?from=here").to_pydict() == COLUMNS


def test_large_file_of_a_web_server_is_cut(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 1_500)
    monkeypatch.setattr(http_files, "_BLOCK_BYTES", 700)
    assert table_of(f"{site}/rows.csv").to_pydict() == COLUMNS


def test_any_part_of_a_file_can_be_read(site: str, tmp_path: Path) -> None:
    content = (tmp_path / "rows.csv").read_bytes()
    with open_file(f"{site}/rows.csv") as file:
        assert file.size() == len(content)
        for start, size in ((100, 50), (0, 10), (len(content) - 3, 10), (len(content), 1)):
            file.seek(start)
            assert file.read(size) == content[start : start + size]


def test_changed_content_is_another_version(site: str, tmp_path: Path) -> None:

    (before,) = list_source(f"{site}/rows.csv").files
    assert list_source(f"{site}/rows.csv").files == (before,)
    path = tmp_path / "rows.csv"
    path.write_text(path.read_text().replace("499", "498"))
    os.utime(path, (1_000_000_000, 1_000_000_000))
    (after,) = list_source(f"{site}/rows.csv").files
    assert after.num_bytes == before.num_bytes
    assert after.version != before.version


def test_absent_file_of_a_web_server_is_told(site: str) -> None:
    with pytest.raises(DataError, match=r"rows\.tsv\?a=1: no such file"):
        list_source(f"{site}/rows.tsv?a=1")


def test_answer_that_is_cut_short_is_told(tmp_path: Path) -> None:
    TABLES["rows.csv"](tmp_path / "rows.csv", COLUMNS)
    with (
        web_server(tmp_path, CutsShort) as url,
        pytest.raises(DataError, match=r"ended after [\d,]+ of [\d,]+ bytes"),
    ):
        table_of(f"{url}/rows.csv")


def test_web_server_that_is_away_is_told() -> None:
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/a\.csv.*refused"):
        list_source("http://127.0.0.1:9/a.csv")
