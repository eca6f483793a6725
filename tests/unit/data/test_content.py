"""A file's content told by its bytes: the hashes that reading it gives, and any byte counts."""

import gzip
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distrain.config.data import IdxSource, ReadSettings, Source
from distrain.data import units
from distrain.data.cache import digest_of
from distrain.data.content import changed_rows, content_hashes, damaged_shards, joined_hash
from distrain.data.opening import open_source
from distrain.data.prepared import PreparedDataset
from distrain.data.runs import read_runs
from distrain.data.shards import SHARD_FOLDER
from distrain.data.sources import list_source
from distrain.data.units import cut_into_units
from distrain.errors import DataError
from tests.prepared_examples import (
    classified,
    numeric_transform,
    write_classified,
    write_prepared,
)

NUM_ROWS = 12_000  # more than MLflow's own classes look at


def csv_text() -> bytes:
    rows = (f"{number},{number % 7},{number * 0.5:.2f}\n" for number in range(NUM_ROWS))
    return "".join(["a,b,c\n", *rows]).encode()


def write_csv(folder: Path) -> Source:
    (folder / "a.csv").write_bytes(csv_text())
    return str(folder / "a.csv")


def write_packed(folder: Path) -> Source:
    (folder / "a.csv.gz").write_bytes(gzip.compress(csv_text(), mtime=0))
    return str(folder / "a.csv.gz")


def write_parquet(folder: Path) -> Source:
    numbers = list(range(NUM_ROWS))
    table = pa.table({"a": numbers, "b": [str(number) for number in numbers]})
    pq.write_table(table, folder / "a.parquet", row_group_size=2_000)
    return str(folder / "a.parquet")


def write_idx(folder: Path) -> Source:
    pixels = bytes(number % 251 for number in range(NUM_ROWS * 4))
    (folder / "images").write_bytes(struct.pack(">IIII", 2051, NUM_ROWS, 2, 2) + pixels)
    labels = bytes(number % 10 for number in range(NUM_ROWS))
    (folder / "labels").write_bytes(struct.pack(">II", 2049, NUM_ROWS) + labels)
    idx = {"images": str(folder / "images"), "labels": str(folder / "labels")}
    return IdxSource.model_validate({"idx": idx})


def built_in(_: Path) -> Source:
    return "sklearn:iris"


def hashes_by_reading(source: Source, *, may_split: bool = True) -> list[str]:
    """The hashes that a prepared dataset's digest is made of, from reading all rows."""
    opened = open_source(source, None, ReadSettings())
    pieces: dict[int, list[str]] = {}
    for unit in cut_into_units(opened.listing, opened.reading, may_split=may_split):
        for run in read_runs(unit, opened.reading):
            for piece in run.pieces:
                pieces.setdefault(piece.file_number, []).append(piece.sha256)
    return [joined_hash(hashes) for hashes in pieces.values()]


@pytest.mark.parametrize("unit_bytes", [units.UNIT_BYTES, 50_000])
@pytest.mark.parametrize("write", [write_csv, write_packed, write_parquet, write_idx, built_in])
def test_bytes_alone_give_the_hashes_that_reading_gives(
    write: Callable[[Path], Source],
    unit_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", unit_bytes)
    source = write(tmp_path)

    found = list(content_hashes(list_source(source)))

    assert [hashes[0] for hashes in found] == hashes_by_reading(source)


def test_a_large_file_that_could_not_be_cut_has_the_hash_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 50_000)
    source = write_csv(tmp_path)

    [(in_pieces, whole)] = content_hashes(list_source(source))

    assert [whole] == hashes_by_reading(source, may_split=False)
    assert in_pieces != whole


@pytest.mark.parametrize("unit_bytes", [units.UNIT_BYTES, 50_000])
@pytest.mark.parametrize("write", [write_csv, write_packed, write_parquet, write_idx])
def test_any_byte_of_any_file_changes_the_digest(
    write: Callable[[Path], Source],
    unit_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """25 tries for each of 8 forms, anywhere from the first byte to the last."""
    monkeypatch.setattr(units, "UNIT_BYTES", unit_bytes)
    source, chance = write(tmp_path), random.Random(unit_bytes)
    files = sorted(tmp_path.iterdir())

    def digest() -> str:
        try:
            return digest_of(list(content_hashes(list_source(source))))
        except DataError as fault:  # the footer of a Parquet file may say nothing any more
            return str(fault)

    before = digest()
    digests = set()
    for _ in range(25):
        file = chance.choice(files)
        content = bytearray(file.read_bytes())
        place = chance.randrange(len(content))
        content[place] ^= 1 << chance.randrange(8)
        original = file.read_bytes()
        file.write_bytes(content)
        digests.add(digest())
        file.write_bytes(original)

    assert before not in digests
    assert digest() == before


def test_a_shard_that_was_altered_is_found(tmp_path: Path) -> None:
    write_classified(tmp_path, {"train": 50, "test": 20}, shard_rows=20)
    dataset = PreparedDataset.open(tmp_path)
    assert damaged_shards(dataset) == []

    shard = tmp_path / SHARD_FOLDER / "train-00001.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)

    assert [found.file for found in damaged_shards(dataset)] == ["train-00001.arrow"]


def test_changed_rows_of_a_split_are_found_by_number(tmp_path: Path) -> None:
    rows = classified(50, 4, 3)
    others = {name: values.copy() for name, values in rows.items()}
    rows["x"][7, 0] = others["x"][7, 0] = np.nan
    others["x"][17, 2] += 1
    others["y"][31] = (others["y"][31] + 1) % 3
    transform = numeric_transform(4, task="classification", targets=["y"], classes=["a", "b", "c"])
    before, after, shorter = (
        PreparedDataset.open(write_prepared(tmp_path / name, transform, {"train": made}, 20))
        for name, made in (
            ("before", rows),
            ("after", others),
            ("shorter", {name: values[:40] for name, values in rows.items()}),
        )
    )

    assert changed_rows(before, after, "train").tolist() == [17, 31]
    assert changed_rows(before, before, "train").tolist() == []
    assert changed_rows(before, shorter, "train").tolist() == []
