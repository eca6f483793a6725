"""Files that are not what their format says, and what is told of them."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distrain.config.data import DataSettings
from distrain.data import images, json_files
from distrain.data.checking import quick_check
from distrain.errors import DataError
from tests.file_formats import (
    png,
    write_arrow,
    write_image_folder,
)
from tests.read_sources import opened, table_of

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (6, 4, 3, 3), dtype=np.uint8)
LABELS = ["cat"] * 3 + ["dog"] * 3


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
    "half a character": (
        "a.jsonl",
        ROW + '{"a": "\\ud83d"}\n',
        ["a.jsonl:2", "half a character in 'a'", "ud83d"],
    ),
    "lists without end": ("a.json", "[" * 100_000, ["RecursionError", "a.json"]),
    "a number without end": (
        "a.json",
        '[{"a": 1' + "0" * 5_000 + "}]",
        ["cannot be read", "4300 digits"],
    ),
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
    "a header without end": (
        "a.npy",
        npy("[" + "('a'," * 300 + "'<f4'" + ")" * 300 + "]", (1,)),
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


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_later_file_with_a_column_twice_is_told(tmp_path: Path, ending: str) -> None:
    arrays = [pa.array([1, 2]), pa.array(["p", "q"])]
    for number, names in enumerate((["a", "b"], ["a", "b", "a"])):
        table = pa.Table.from_arrays([*arrays, arrays[0]][: len(names)], names)
        path = tmp_path / f"{number}.{ending}"
        if ending == "parquet":
            pyarrow.parquet.write_table(table, path)
        else:
            with pa.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table)
    with pytest.raises(DataError, match=rf"1\.{ending}: columns stand there more than once: 'a'"):
        table_of(str(tmp_path))


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
