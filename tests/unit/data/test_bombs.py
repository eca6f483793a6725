"""Sources that unpack to far more than they are, and names that are no text's encoding."""

import bz2
import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from distrain.config.data import IdxSource, ReadSettings
from distrain.data import text_files
from distrain.data.csv_files import read_csv_unit
from distrain.data.files import filesystem_of
from distrain.data.idx_files import idx_headers
from distrain.data.opening import open_source
from distrain.data.reading import FileLog
from distrain.data.sources import list_source
from distrain.data.units import cut_into_units
from distrain.errors import DataError


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstd,
}


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a megabyte were all that there is."""
    monkeypatch.setattr(text_files, "STREAM_BYTES", 1 << 18)
    monkeypatch.setattr(text_files, "MAX_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(text_files, "MAX_RECORD_BYTES", 1 << 19)


def tables(path: Path) -> Iterator[pa.Table]:
    opened = open_source(str(path), None, ReadSettings())
    for unit in cut_into_units(opened.listing, opened.reading):
        yield from read_csv_unit(unit, opened.reading, FileLog())


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("ending", PACKED)
def test_what_unpacks_to_more_than_memory_is_read_part_by_part(tmp_path: Path, ending: str) -> None:
    num_rows = 1 << 19
    path = tmp_path / f"rows.csv.{ending}"
    path.write_bytes(PACKED[ending](b"a,b\n" + b"1,2\n" * num_rows))
    read = list(tables(path))
    assert sum(table.num_rows for table in read) == num_rows
    assert max(table.num_rows for table in read) <= (1 << 18) / 4
    assert set(read[-1]["b"].to_pylist()) == {2}


@pytest.mark.usefixtures("small_memory")
def test_a_record_without_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" + b"3" * (4 << 20)))
    with pytest.raises(DataError, match="a record has more than 524,288 bytes"):
        list(tables(path))


def idx(path: Path, num_items: int, height: int, width: int, content: bytes = b"") -> None:
    header = struct.pack(">IIII", 2051, num_items, height, width)
    path.write_bytes(gzip.compress(header + content) if path.suffix == ".gz" else header + content)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("shape", [(60_000, 28, 28), (2**32 - 1, 2**32 - 1, 2**32 - 1)])
def test_images_that_are_only_claimed_are_told(
    tmp_path: Path, ending: str, shape: tuple[int, int, int]
) -> None:
    images, labels = tmp_path / f"images{ending}", tmp_path / "labels"
    idx(images, *shape)
    labels.write_bytes(struct.pack(">II", 2049, shape[0]))
    source = IdxSource.model_validate({"idx": {"images": str(images), "labels": str(labels)}})
    with pytest.raises(DataError, match=r"the file has \d+ bytes"):
        idx_headers(list_source(source, None))


@pytest.mark.parametrize("name", ["zlib_codec", "bz2", "hex", "rot13", "os", "../../x", "a\0b"])
def test_an_encoding_that_is_none_of_text_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no encoding of text"):
        open_source(str(tmp_path / "rows.csv"), None, ReadSettings(encoding=name))


@pytest.mark.parametrize(
    "uri",
    [
        "fsspec+reference://x.csv::file:///refs.json",
        "fsspec+reference://x.csv",
        "fsspec+simplecache::reference://x.csv::file:///refs.json",
    ],
)
def test_templates_of_references_are_not_filled_in(uri: str) -> None:
    with pytest.raises(DataError, match="whose templates would be run"):
        filesystem_of(uri)
