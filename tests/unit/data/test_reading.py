"""Units of files as runs: every row once, in order, however the files are cut."""

import bz2
import gzip
import hashlib
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distrain.config.data import IdxSource, ReadSettings
from distrain.data import text_files, units
from distrain.data.files import SourceFile
from distrain.data.opening import OpenedSource, open_source
from distrain.data.reading import CannotCut, Piece, PieceRead, Reading, Unit
from distrain.data.runs import Run, cut_into_runs, pack_run, read_runs, unpack_run
from distrain.errors import DataError

NUM_ROWS = 1_000


def csv_of(start: int, stop: int) -> str:
    records = (f'{row},{row / 8},"word {row % 7}"' for row in range(start, stop))
    return "id,half,word\n" + "".join(record + "\n" for record in records)


def read_all(
    source: str | list[str], read: dict[str, Any] | None = None, **how: Any
) -> tuple[pa.Table, list[Run]]:
    opened = open_source(source, None, ReadSettings(**(read or {})))
    return read_opened(opened, **how)


def read_opened(opened: OpenedSource, **how: Any) -> tuple[pa.Table, list[Run]]:
    cut = units.cut_into_units(opened.listing, opened.reading, **how)
    runs = [run for unit in cut for run in read_runs(unit, opened.reading)]
    return pa.concat_tables([run.table for run in runs if run.table.num_rows]), runs


def pieces_of(runs: list[Run]) -> list[PieceRead]:
    return [piece for run in runs for piece in run.pieces]


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 4_096)
    monkeypatch.setattr(units, "_PROBE_BYTES", 512)


@pytest.fixture
def small_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "STREAM_BYTES", 1_000)


def expected(num_rows: int = NUM_ROWS) -> dict[str, list[Any]]:
    rows = range(num_rows)
    return {
        "id": list(rows),
        "half": [row / 8 for row in rows],
        "word": [f"word {row % 7}" for row in rows],
    }


def test_large_file_is_cut_at_line_breaks(tmp_path: Path, small_units: None) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_of(0, NUM_ROWS))
    table, runs = read_all(str(path))
    assert table.to_pydict() == expected()
    pieces = pieces_of(runs)
    assert [piece.piece_number for piece in pieces] == list(range(-(-path.stat().st_size // 4096)))
    assert sum(piece.num_bytes for piece in pieces) == path.stat().st_size
    assert sum(piece.num_rows for piece in pieces) == NUM_ROWS


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_cut_does_not_depend_on_how_lines_end(
    tmp_path: Path, small_units: None, ending: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv_of(0, NUM_ROWS).rstrip("\n").replace("\n", ending).encode())
    assert read_all(str(path))[0].to_pydict() == expected()


def test_line_longer_than_a_unit_is_read_once(tmp_path: Path, small_units: None) -> None:
    path = tmp_path / "a.csv"
    long = "x" * 10_000
    path.write_text("a,b\n1,s\n2," + long + "\n3,s\n" + "4,s\n" * 2000)
    table, _ = read_all(str(path))
    assert table["a"].to_pylist() == [1, 2, 3] + [4] * 2000
    assert table["b"][1].as_py() == long


def test_file_with_line_breaks_in_quotes_is_read_as_a_stream(
    tmp_path: Path, small_units: None, small_streams: None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_of(0, NUM_ROWS).replace("word 3", "word\n3"))
    table, runs = read_all(str(path))
    assert table["id"].to_pylist() == list(range(NUM_ROWS))
    assert table["word"][3].as_py() == "word\n3"
    (piece,) = pieces_of(runs)
    assert piece.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (piece.num_bytes, piece.num_rows) == (path.stat().st_size, NUM_ROWS)


def test_quoted_line_break_that_the_probes_miss_is_noticed(
    tmp_path: Path, small_units: None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_of(0, NUM_ROWS).replace('299,37.375,"word 5"', '299,37.375,"word\n5"'))
    with pytest.raises(CannotCut):
        read_all(str(path))
    table, _ = read_all(str(path), may_split=False)
    assert table["id"].to_pylist() == list(range(NUM_ROWS))


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".zst", None)]
)
@pytest.mark.parametrize("is_large", [False, True])
def test_compressed_file_is_read_through(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_streams: None,
    ending: str,
    pack: Any,
    is_large: bool,
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 100 if is_large else 10**9)
    path = tmp_path / f"a.csv{ending}"
    content = csv_of(0, NUM_ROWS).encode()
    path.write_bytes(pack(content) if pack else pa.compress(content, "zstd", asbytes=True))
    table, runs = read_all(str(path))
    assert table.to_pydict() == expected()
    assert pieces_of(runs)[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_small_files_share_a_unit_and_may_order_their_columns_as_they_like(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "2.csv").write_text("b,a\n")
    (tmp_path / "3.csv").write_text("b, a \nz,3\n")
    table, runs = read_all(str(tmp_path))
    assert table.to_pydict() == {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    assert len(runs) == 1
    assert [piece.num_rows for piece in pieces_of(runs)] == [2, 0, 1]


def test_file_with_other_columns_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("a,c\n1,x\n")
    with pytest.raises(DataError, match=r"2\.csv: the file lacks 'b' and has 'c' besides"):
        read_all(str(tmp_path))


def test_column_that_is_a_number_here_and_text_there_keeps_its_text(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("zip,n\n007,1\n")
    (tmp_path / "2.csv").write_text("zip,n\nA7,2.5\n")
    table, _ = read_all(str(tmp_path))
    assert table.to_pydict() == {"zip": ["007", "A7"], "n": [1.0, 2.5]}


def test_blanks_around_names_and_values_are_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(" a , b,c \n 1 , x y ,  ? \n2, ? ,3\n")
    read = {"na_values": ["?"]}
    assert read_all(str(path), read)[0].to_pydict() == {
        "a": [1, 2],
        "b": ["x y", None],
        "c": [None, "3"],
    }
    kept = read_all(str(path), {**read, "strip": False})[0]
    assert kept.column_names == [" a ", " b", "c "]
    assert kept[" b"].to_pylist() == [" x y ", " ? "]


def test_files_without_a_header_have_given_or_counted_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,x\n2,y\n")
    assert read_all(str(path), {"header": False})[0].column_names == ["f0", "f1"]
    named = read_all(str(path), {"header": False, "names": ["n", "w"]})[0]
    assert named.to_pydict() == {"n": [1, 2], "w": ["x", "y"]}
    renamed = read_all(str(path), {"names": ["n", "w"]})[0]
    assert renamed.to_pydict() == {"n": [2], "w": ["y"]}


def test_nameless_columns_are_called_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",a\n0,x\n")
    assert read_all(str(tmp_path / "a.csv"))[0].column_names == ["unnamed_0", "a"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("is_large", [False, True])
def test_other_encodings_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, is_large: bool
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 512 if is_large else 10**9)
    monkeypatch.setattr(text_files, "STREAM_BYTES", 501)
    path = tmp_path / "a.csv"
    path.write_bytes(("größe,ort\n" + "1,Köln\n" * 200).encode(encoding))
    table, _ = read_all(str(path), {"encoding": encoding})
    assert table.to_pydict() == {"größe": [1] * 200, "ort": ["Köln"] * 200}


def test_line_of_a_fault_is_counted_from_the_start_of_the_file(
    tmp_path: Path, small_units: None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_of(0, NUM_ROWS).replace('900,112.5,"', '900,112.5,7,"'))
    with pytest.raises(DataError, match=r"a\.csv:902: the record has 4 fields"):
        read_all(str(path))


def test_line_of_a_fault_is_counted_in_a_stream(tmp_path: Path, small_streams: None) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_of(0, NUM_ROWS).replace('900,112.5,"', '900,112.5,7,"'))
    columns = ("id", "half", "word")
    file = SourceFile(str(path), path.stat().st_size, "")
    unit = Unit(0, (Piece(file, 0),), is_read_in_passes=True)
    with pytest.raises(DataError, match=r"a\.csv:902: the record has 4 fields"):
        list(read_runs(unit, Reading("csv", columns, columns)))


def test_parquet_files_are_cut_by_row_groups(tmp_path: Path, small_units: None) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table(expected()), path, row_group_size=90, compression="none")
    opened = open_source(str(path), None, ReadSettings())
    assert (opened.num_rows, opened.is_exact) == (NUM_ROWS, True)
    table, runs = read_opened(opened)
    assert table.to_pydict() == expected()
    pieces = pieces_of(runs)
    assert len(pieces) > 2
    assert sum(piece.num_bytes for piece in pieces) == path.stat().st_size


def test_parquet_columns_come_in_plain_types(tmp_path: Path) -> None:
    columns = {
        "small": pa.array([1, None], pa.int8()),
        "huge": pa.array([2**63, 1], pa.uint64()),
        "half": pa.array([0.5, None], pa.float32()),
        "word": pa.array(["a", "b"]).dictionary_encode(),
        "day": pa.array([0, 1], pa.date64()),
        "moment": pa.array([0, 10**9], pa.timestamp("ns", "UTC")),
    }
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    table, _ = read_all(str(tmp_path / "a.parquet"))
    types = ["int64", "double", "double", "string", "date32[day]", "timestamp[us]"]
    assert list(map(str, table.schema.types)) == types
    assert table["small"].to_pylist() == [1, None]
    assert table["word"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_are_read_side_by_side(tmp_path: Path, packed: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 2, 3), dtype=np.uint8)
    pair = {}
    for name, content in (
        ("images", struct.pack(">4I", 2051, 5, 2, 3) + pixels.tobytes()),
        ("labels", struct.pack(">2I", 2049, 5) + bytes([3, 1, 4, 1, 5])),
    ):
        path = tmp_path / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
        pair[name] = str(path)
    opened = open_source(IdxSource.model_validate({"idx": pair}), None, ReadSettings())
    assert opened.reading.image_shapes == {"image": (1, 2, 3)}
    table, runs = read_opened(opened)
    assert table["label"].to_pylist() == [3, 1, 4, 1, 5]
    assert table["image"].to_pylist() == pixels.reshape(5, 6).tolist()
    assert [piece.file_number for piece in pieces_of(runs)] == [0, 1]


@pytest.mark.parametrize(
    ("change", "told"), [(-1, "the file ends early"), (1, "goes on after its last item")]
)
def test_images_of_the_wrong_length_are_told(tmp_path: Path, change: int, told: str) -> None:
    images, labels = tmp_path / "i", tmp_path / "l"
    images.write_bytes(struct.pack(">4I", 2051, 2, 2, 2) + bytes(8 + change))
    labels.write_bytes(struct.pack(">2I", 2049, 2) + bytes(2))
    pair = {"idx": {"images": str(images), "labels": str(labels)}}
    opened = open_source(IdxSource.model_validate(pair), None, ReadSettings())
    with pytest.raises(DataError, match=told):
        read_opened(opened)


@pytest.mark.parametrize(
    ("name", "rows", "columns"), [("digits", 1797, 2), ("iris", 150, 5), ("diabetes", 442, 11)]
)
def test_built_in_data_is_read(name: str, rows: int, columns: int) -> None:
    table, runs = read_all(f"sklearn:{name}")
    assert (table.num_rows, table.num_columns) == (rows, columns)
    assert len(pieces_of(runs)[0].sha256) == 64
    assert "target" in table.column_names


def test_runs_have_a_fixed_size_whatever_the_tables_have() -> None:
    tables = [
        pa.table({"a": range(start, start + size)}) for start, size in ((0, 3), (3, 9), (12, 1))
    ]
    runs = list(cut_into_runs(iter(tables), run_rows=5))
    assert [run.num_rows for run in runs] == [5, 5, 3]
    assert pa.concat_tables(runs)["a"].to_pylist() == list(range(13))
    assert list(cut_into_runs(iter([]), run_rows=5)) == []


def test_many_small_tables_are_joined_in_time_that_grows_with_their_number() -> None:
    tables = (pa.table({"a": [n], "b": [str(n)]}) for n in range(5_000))
    (run,) = cut_into_runs(tables)
    assert run["a"].to_pylist() == list(range(5_000))
    assert run["a"].num_chunks < 10


def test_tables_of_different_types_are_joined_in_the_type_that_holds_both() -> None:
    tables = [
        pa.table({"a": [1], "b": [1], "c": pa.nulls(1), "d": ["x"]}),
        pa.table({"a": [1.5], "b": ["x"], "c": ["y"], "d": pa.nulls(1)}),
    ]
    (run,) = cut_into_runs(iter(tables))
    assert run.to_pydict() == {"a": [1, 1.5], "b": ["1", "x"], "c": [None, "y"], "d": ["x", None]}


def test_packed_run_comes_back_as_it_was() -> None:
    run = Run(3, 1, pa.table({"a": [1, None], "b": ["x", "y"]}), (PieceRead(0, 0, "ab", 9, 2),))
    packed = pack_run(replace(run, table=run.table.slice(1)))
    assert packed.num_rows == 1
    back = unpack_run(packed)
    assert back.table.to_pydict() == {"a": [None], "b": ["y"]}
    assert (back.key, back.pieces) == (run.key, run.pieces)
