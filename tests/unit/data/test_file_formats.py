"""Sources of every format as runs: the same rows, in the same order, however they are stored."""

import gzip
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distrain.config.data import DataSettings, ReadSettings
from distrain.data import images, json_files, numpy_files, text_files, units
from distrain.data.checking import quick_check
from distrain.data.columns import as_float64
from distrain.data.content import content_hashes, joined_hash
from distrain.data.opened import OpenedSource
from distrain.data.opening import open_source
from distrain.data.runs import Run, read_runs
from distrain.data.sample import sample_dataset
from distrain.data.sources import list_source
from distrain.errors import DataError
from tests.file_formats import (
    TABLES,
    csv_text,
    png,
    write_arrow,
    write_image_folder,
    write_image_table,
    write_json_lines,
)

COLUMNS = {
    "age": [20 + 7 * row % 41 for row in range(60)],
    "share": [row / 7 - 3 for row in range(60)],
    "city": [("Bern", "Oslo", "Rome")[row % 3] for row in range(60)],
    "member": [row % 4 == 0 for row in range(60)],
}
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (6, 4, 3, 3), dtype=np.uint8)
LABELS = ["cat"] * 3 + ["dog"] * 3


def opened(source: str | list[str], format_: str | None = None, **read: Any) -> OpenedSource:
    return open_source(source, format_, ReadSettings(**read))


def runs_of(source: OpenedSource) -> list[Run]:
    cut = units.cut_into_units(source.listing, source.reading)
    return [run for unit in cut for run in read_runs(unit, source.reading)]


def table_of(source: str | list[str], format_: str | None = None, **read: Any) -> pa.Table:
    tables = [run.table for run in runs_of(opened(source, format_, **read))]
    return pa.concat_tables([table for table in tables if table.num_rows])


def pixels(table: pa.Table, column: str = "image") -> "np.ndarray[Any, np.dtype[np.uint8]]":
    flat = table[column].combine_chunks().flatten().to_numpy()
    return flat.reshape(table.num_rows, 3, 4, 3)


@pytest.mark.parametrize("name", TABLES)
def test_same_rows_are_the_same_values_in_every_format(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / name, COLUMNS)
    source = opened(str(tmp_path / name))
    table = table_of(str(tmp_path / name))
    assert source.num_rows == 60
    assert source.is_exact
    assert source.reading.columns == tuple(COLUMNS)
    assert table.to_pydict() == COLUMNS
    assert [str(field.type) for field in table.schema] == ["int64", "double", "string", "bool"]


@pytest.mark.parametrize(
    ("target", "task"), [("member", "classification"), ("share", "regression")]
)
def test_same_rows_make_the_same_shards(tmp_path: Path, target: str, task: str) -> None:
    found = []
    for name, write in TABLES.items():
        write(tmp_path / name, COLUMNS)
        data = DataSettings(source=str(tmp_path / name), target=target, task=task)
        with sample_dataset(data, list_source(data.source)) as dataset:
            found.append([shard.sha256 for shard in dataset.shards()])
    assert len(found[0]) == 3
    assert found == [found[0]] * len(TABLES)


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 512)
    monkeypatch.setattr(numpy_files, "GROUP_ROWS", 7)
    monkeypatch.setattr(text_files, "STREAM_BYTES", 300)


@pytest.mark.usefixtures("small_units")
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.arrow", "rows.npy"])
def test_large_files_are_cut_and_every_row_comes_once(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / name, COLUMNS)
    source = opened(str(tmp_path / name))
    runs = runs_of(source)
    assert len(units.cut_into_units(source.listing, source.reading)) > 3
    assert (
        pa.concat_tables([run.table for run in runs if run.table.num_rows]).to_pydict() == COLUMNS
    )
    pieces = [piece for run in runs for piece in run.pieces]
    assert sum(piece.num_rows for piece in pieces) == 60
    assert sum(piece.num_bytes for piece in pieces) == (tmp_path / name).stat().st_size


@pytest.mark.usefixtures("small_units")
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.arrow", "rows.npy", "rows.npz"])
def test_what_is_hashed_without_parsing_is_what_was_read(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / name, COLUMNS)
    source = opened(str(tmp_path / name))
    read = joined_hash([piece.sha256 for run in runs_of(source) for piece in run.pieces])
    ((found, *_),) = content_hashes(source.listing)
    assert found == read


@pytest.mark.usefixtures("small_units")
def test_packed_json_lines_are_read_part_by_part(tmp_path: Path) -> None:
    write_json_lines(plain := tmp_path / "a.jsonl", COLUMNS)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert table_of(str(tmp_path / "a.jsonl.gz")).to_pydict() == COLUMNS


def test_arrays_stored_by_column_are_read_by_row(tmp_path: Path) -> None:
    values = np.arange(20.0).reshape(10, 2)
    np.save(tmp_path / "a.npy", np.asfortranarray(values))
    assert np.array_equal(np.column_stack(table_of(str(tmp_path / "a.npy")).columns), values)


def test_columns_of_a_matrix_are_numbered_or_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    assert opened(str(tmp_path / "a.npy")).reading.columns == ("c0", "c1")
    assert table_of(str(tmp_path / "a.npy"), names=["age", "size"]).column_names == ["age", "size"]
    with pytest.raises(DataError, match=r"has 2 columns.*Expected 1, as data\.read\.names"):
        opened(str(tmp_path / "a.npy"), names=["age"])


def test_named_arrays_become_columns(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x_train=IMAGES, y_train=np.arange(6), x_test=IMAGES[:2])
    source = opened(str(tmp_path / "a.npz"), arrays={"image": "x_train", "label": "y_train"})
    table = table_of(str(tmp_path / "a.npz"), arrays={"image": "x_train", "label": "y_train"})
    assert source.reading.image_shapes == {"image": (3, 4, 3)}
    assert table["label"].to_pylist() == list(range(6))
    assert np.array_equal(pixels(table), IMAGES.transpose(0, 3, 1, 2))


def test_images_are_the_same_from_folders_bytes_and_arrays(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "images", IMAGES, LABELS)
    write_image_table(tmp_path / "images.parquet", IMAGES, LABELS)
    np.savez(tmp_path / "images.npz", image=IMAGES, label=np.array(LABELS))
    expected = IMAGES.transpose(0, 3, 1, 2)
    for name in ("images", "images.parquet", "images.npz"):
        table = table_of(str(tmp_path / name))
        assert np.array_equal(pixels(table), expected), name
        assert table["label"].to_pylist() == LABELS
    assert table_of(str(tmp_path / "images"))["file"][4].as_py() == "dog/00004.png"


def test_image_bytes_in_a_struct_are_images(tmp_path: Path) -> None:
    content = {"bytes": png(IMAGES[0]), "path": None}
    write_arrow(tmp_path / "a.arrow", {"image": [content] * 3, "label": [1, 2, 1]})
    assert np.array_equal(
        pixels(table_of(str(tmp_path / "a.arrow")))[2], IMAGES[0].transpose(2, 0, 1)
    )


def test_images_are_brought_to_a_size_and_to_grey(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "a", IMAGES, LABELS)
    (tmp_path / "a" / "dog" / "small.png").write_bytes(png(IMAGES[0][:2, :2]))
    source = opened(str(tmp_path / "a"), size=[8, 6], channels=1)
    assert source.reading.image_shapes == {"image": (1, 8, 6)}
    table = table_of(str(tmp_path / "a"), size=[8, 6], channels=1)
    assert table.num_rows == 7
    assert table.schema.field("image").type.list_size == 48


def test_grey_images_among_coloured_ones_are_coloured(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "a", IMAGES, LABELS)
    (tmp_path / "a" / "dog" / "grey.png").write_bytes(png(IMAGES[0, :, :, 0]))
    last = pixels(table_of(str(tmp_path / "a")))[-1]
    assert np.array_equal(last, np.stack([IMAGES[0, :, :, 0]] * 3))


def test_text_is_by_file_or_by_line(tmp_path: Path) -> None:
    for label in ("bad", "good"):
        (tmp_path / label).mkdir()
        for number in range(2):
            (tmp_path / label / f"{number}.txt").write_text(f"It was {label}.\nReally {number}.\n")
    by_file = table_of(str(tmp_path), "text")
    assert by_file["label"].to_pylist() == ["bad", "bad", "good", "good"]
    assert by_file["text"][1].as_py() == "It was bad.\nReally 1.\n"
    files = [str(tmp_path / "bad" / "0.txt"), str(tmp_path / "good" / "1.txt")]
    by_line = table_of(files, "text", example="line")
    assert by_line["text"].to_pylist() == ["It was bad.", "Really 0.", "It was good.", "Really 1."]
    assert by_line["label"].to_pylist() == ["0", "0", "1", "1"]


@pytest.mark.usefixtures("small_units")
def test_lines_of_a_large_text_come_once(tmp_path: Path) -> None:
    lines = [f"example {number} of text" for number in range(100)]
    (tmp_path / "reviews.pos").write_text("\n".join(lines))
    table = table_of(str(tmp_path / "reviews.pos"), "text", example="line")
    assert table["text"].to_pylist() == lines
    assert set(table["label"].to_pylist()) == {"reviews.pos"}


@pytest.mark.parametrize("sign", [";", "|", "\t", ","])
def test_delimiter_is_told_from_the_rows_where_no_extension_says_it(
    tmp_path: Path, sign: str
) -> None:
    (tmp_path / "rows.data").write_text(csv_text(COLUMNS, sign))
    assert table_of(str(tmp_path / "rows.data"), "csv").to_pydict() == COLUMNS


def test_json_numbers_and_text_in_a_column_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": true}\n{"a": "x"}\n{"a": 1.5, "b": null}\n')
    assert table_of(str(tmp_path / "a.jsonl")).to_pydict() == {
        "a": ["1", "x", "1.5"],
        "b": [True, None, None],
    }


def test_json_dates_are_the_dates_of_csv(tmp_path: Path) -> None:
    days = {"day": [f"2024-02-{day:02d}" for day in range(1, 20)]}
    TABLES["rows.csv"](tmp_path / "a.csv", days)
    write_json_lines(tmp_path / "a.jsonl", days)
    mixed = [
        {"day": day, "mixed": day[-1:] * (row % 2) or row} for row, day in enumerate(days["day"])
    ]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(record) + "\n" for record in mixed))
    seconds = []
    for name in ("a.csv", "a.jsonl", "b.jsonl"):
        source = opened(str(tmp_path / name))
        (run,) = runs_of(source)
        kind = str(run.table.schema.field("day").type)
        seconds.append(as_float64(run.table["day"], "day", kind, source.reading.text))
    assert np.array_equal(seconds[0], seconds[1])
    assert np.array_equal(seconds[0], seconds[2])


def test_json_files_may_lack_keys_and_have_them_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"a": 1, "b": "x"}\n{"b": "y"}\n')
    (tmp_path / "2.jsonl").write_text('{"b": "z", "a": 2}\n{"a": 2.5}\n')
    assert table_of(str(tmp_path / "*.jsonl")).to_pydict() == {
        "a": [1, None, 2, 2.5],
        "b": ["x", "y", "z", None],
    }


@pytest.mark.parametrize("name", TABLES)
def test_columns_in_another_order_are_the_same_columns(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / f"1-{name}", COLUMNS)
    TABLES[name](tmp_path / f"2-{name}", {key: COLUMNS[key] for key in reversed(COLUMNS)})
    table = table_of(str(tmp_path / f"*-{name}"))
    assert table.to_pydict() == {key: [*values, *values] for key, values in COLUMNS.items()}


@pytest.mark.parametrize("name", [name for name in TABLES if "json" not in name])
def test_column_that_a_file_lacks_or_has_besides_is_told(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / f"1-{name}", COLUMNS)
    TABLES[name](tmp_path / f"2-{name}", {"ages": COLUMNS["age"], **COLUMNS})
    with pytest.raises(DataError, match=f"2-{name}: the file has 'ages' besides"):
        table_of(str(tmp_path / f"*-{name}"))
    TABLES[name](tmp_path / f"2-{name}", {k: v for k, v in COLUMNS.items() if k != "city"})
    with pytest.raises(DataError, match=f"2-{name}: the file lacks 'city'"):
        table_of(str(tmp_path / f"*-{name}"))


def test_directory_of_tables_leaves_pictures_and_json_aside(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(csv_text(COLUMNS))
    (tmp_path / "plot.png").write_bytes(png(IMAGES[0]))
    (tmp_path / "about.json").write_text("{}")
    assert opened(str(tmp_path)).listing.format == "csv"


def npy(descr: str, shape: tuple[int, ...], content: bytes = b"", *, order: str = "False") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz(**arrays: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return sink.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG that only claims its size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


ROW = '{"a": 1, "y": "p"}\n'
CASES: dict[str, tuple[str, bytes | str, list[str]]] = {
    "line cut in the middle": (
        "a.jsonl",
        ROW + '{"a": 2, "y": "q',
        ["a.jsonl:2", "cut short", "Write the line to its end"],
    ),
    "no JSON": ("a.jsonl", ROW + "a,b\n", ["a.jsonl:2", "is no JSON", "character 1"]),
    "a list in a line": ("a.jsonl", ROW + "[1, 2]\n", ["a.jsonl:2", "the record is a list"]),
    "a key twice": ("a.jsonl", ROW + '{"a": 1, "a": 2}\n', ["a.jsonl:2", "'a' twice"]),
    "list cut in the middle": ("a.json", '[{"a": 1},\n {"a"', ["a.json:2", "no whole JSON"]),
    "numbers in a list": ("a.json", "[1, 2]", ["record 1", "the record is a number"]),
    "no columns": ("a.jsonl", "{}\n{}\n", ["the records have no columns"]),
    "nested values": (
        "a.jsonl",
        '{"a": [1, 2], "y": "p"}\n{"a": {"b": 1}, "y": "q"}\n',
        ["column 'a'", "cannot be read", "drop"],
    ),
    "not UTF-8": ("a.jsonl", b'{"a": "K\xf6ln"}\n', ["a.jsonl:1", "0xf6 is not UTF-8"]),
    "zero bytes": ("a.jsonl", b'{"a": 1}\n\0\0', ["the content is binary", "a.jsonl"]),
    "torn arrow": ("a.arrow", b"ARROW1\0\0" + bytes(50), ["no whole Arrow file", "a.arrow"]),
    "csv called arrow": ("a.arrow", "a,b\n1,2\n", ["the content is no arrow", "a.arrow"]),
    "packed arrow": ("a.arrow.gz", b"\x1f\x8b", ["not read through gzip", "Unpack it first"]),
    "objects": ("a.npy", npy("'|O'", (3,)), ["Python objects", "unpickled", "astype"]),
    "objects in npz": ("a.npz", npz(a=npy("'|O'", (3,))), ["Python objects", "array 'a'"]),
    "no array": ("a.npy", b"\x93NUMPY\x01\x00\xff\x00" + b"{", ["no array in NumPy's format"]),
    "a header that is code": (
        "a.npy",
        b"\x93NUMPY\x01\x00\x11\x00" + b"__import__('os')\n",
        ["no array in NumPy's format"],
    ),
    "complex numbers": ("a.npy", npy("'<c16'", (1,), bytes(16)), ["complex128", "cannot be read"]),
    "a cube": ("a.npy", npy("'<f8'", (1, 2, 2), bytes(32)), ["shape (1, 2, 2)", "Reshape it"]),
    "a short array": ("a.npy", npy("'<f8'", (9, 1), bytes(8)), ["bytes", "as its header says"]),
    "a row without end": ("a.npz", npz(a=npy("'<f8'", (1, 2**40))), ["a row has", "at most"]),
    "an array that is only claimed": ("a.npz", npz(a=npy("'<f8'", (2**50,))), ["its header says"]),
    "no zip": ("a.npz", b"PK\x03\x04" + bytes(40), ["no whole .npz file", "a.npz"]),
    "no image": ("a/x.png", b"hello", ["cannot be decoded", "x.png"]),
    "half an image": ("a/x.png", png(IMAGES[0])[:60], ["cannot be decoded", "x.png"]),
    "an image without end": ("a/x.png", png_of(2**20, 2**20), ["too large", "x.png"]),
    "a large image": ("a/x.png", png_of(2**13, 2**13 + 1), ["too large", "67,108,864 pixels"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, case: str) -> None:
    name, content, parts = CASES[case]
    (path := tmp_path / name).parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as told:
        table_of(str(path))
    error = told.value
    assert [part for part in parts if part not in f"{error.where}: {error}"] == [], str(error)
    assert error.where
    assert error.expected
    assert error.mend


def test_absent_array_is_told_with_the_nearest(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=np.arange(6))
    with pytest.raises(DataError, match=r"no array 'x_trian'.*Did you mean 'x_train'\?"):
        opened(str(tmp_path / "a.npz"), arrays={"image": "x_trian"})


def test_images_of_another_size_or_colour_are_told_with_their_file(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "a", IMAGES, LABELS)
    (tmp_path / "a" / "dog" / "x.png").write_bytes(png(IMAGES[0][:2]))
    with pytest.raises(DataError, match=r"x\.png: the image has height 2 and width 3.*4 and 3"):
        table_of(str(tmp_path / "a"))
    write_image_folder(tmp_path / "grey", IMAGES[:, :, :, 0], LABELS)
    (tmp_path / "grey" / "dog" / "x.png").write_bytes(png(IMAGES[0]))
    with pytest.raises(DataError, match=r"x\.png: the image has 3 channels.*channels: 1"):
        table_of(str(tmp_path / "grey"))


def test_images_in_a_table_are_told_with_their_row(tmp_path: Path) -> None:
    contents = [png(IMAGES[0]), png(IMAGES[1]), b"no image"]
    write_arrow(tmp_path / "a.arrow", {"image": contents, "label": [1, 2, 1]}, batch_rows=2)
    with pytest.raises(DataError, match="column 'image', row 3: the image cannot be decoded"):
        table_of(str(tmp_path / "a.arrow"))


def test_images_in_one_folder_are_told_before_anything_is_started(tmp_path: Path) -> None:
    write_image_folder(tmp_path, IMAGES, ["one"] * 6)
    with pytest.raises(DataError, match="all 6 files lie in one folder"):
        quick_check(DataSettings(source=str(tmp_path / "one"), target="label"))


def test_key_that_the_first_records_lack_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text(ROW)
    (tmp_path / "2.jsonl").write_text(ROW + '{"a": 1, "why": "p"}\n')
    with pytest.raises(DataError, match=r"2\.jsonl:2: the record has 'why' besides"):
        table_of(str(tmp_path / "*.jsonl"))


def test_list_of_records_that_is_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "MAX_LIST_BYTES", 100)
    monkeypatch.setattr("distrain.data.opening_text.HEAD_BYTES", 50)
    (tmp_path / "a.json").write_text(json.dumps([{"a": number} for number in range(50)]))
    with pytest.raises(DataError, match=r"more than 100 bytes.*extension \.jsonl"):
        opened(str(tmp_path / "a.json"))


def test_no_more_pixels_than_are_read_are_unpacked() -> None:
    assert images.MAX_PIXELS == 2**26
