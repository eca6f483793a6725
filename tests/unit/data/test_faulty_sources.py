"""Sources that are at fault, and what is told before anything is started."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from distrain.config.data import DataSettings
from distrain.data.checking import quick_check
from distrain.errors import DataError

GOOD = "age,city,income\n31,Bern,high\n25,Oslo,low\n44,Rome,low\n"


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def idx(folder: Path, images: bytes, labels: bytes) -> dict[str, Any]:
    pair = {"images": write(folder, "images", images), "labels": write(folder, "labels", labels)}
    return {"idx": pair}


def images_of(number: int, *, magic: int = 2051, missing_bytes: int = 0) -> bytes:
    return struct.pack(">4I", magic, number, 2, 2) + bytes(4 * number - missing_bytes)


def labels_of(number: int, *, magic: int = 2049) -> bytes:
    return struct.pack(">2I", magic, number) + bytes(range(number))


Case = Callable[[Path], dict[str, Any]]
CASES: dict[str, tuple[Case, list[str]]] = {
    "missing file": (
        lambda f: {"source": write(f, "train.csv", GOOD)[:-8] + "tarin.csv"},
        ["no such file", "Did you mean 'train.csv'?"],
    ),
    "glob without a match": (
        lambda f: {"source": f"{f}/*.csv"},
        ["no file matches", "at least one file"],
    ),
    "empty file": (lambda f: {"source": write(f, "a.csv", "")}, ["the file is empty"]),
    "blank file": (lambda f: {"source": write(f, "a.csv", "\n \n")}, ["nothing but white space"]),
    "header alone": (
        lambda f: {"source": write(f, "a.csv", "age,city,income\n")},
        ["columns but no rows", "a.csv"],
    ),
    "directory without data": (
        lambda f: {"source": str(Path(write(f, "notes.md", "hello")).parent)},
        ["holds no data files", ".md", ".csv"],
    ),
    "unknown extension": (
        lambda f: {"source": write(f, "a.data", GOOD)},
        ["says nothing about the format", "data.format"],
    ),
    "mixed formats": (
        lambda f: {"source": [write(f, "a.csv", GOOD), write(f, "b.tsv", GOOD)]},
        ["different formats", "csv, tsv"],
    ),
    "listed twice": (
        lambda f: {"source": [write(f, "a.csv", GOOD), f"{f}/*.csv"]},
        ["listed twice"],
    ),
    "unknown built-in": (
        lambda _: {"source": "sklearn:digit"},
        ["no such built-in", "Did you mean 'sklearn:digits'?"],
    ),
    "unknown scheme": (lambda _: {"source": "ftq://host/a.csv"}, ["cannot be opened", "ftq://"]),
    "absent target": (
        lambda f: {"source": write(f, "a.csv", GOOD), "target": "incom"},
        ["no column 'incom'", "Did you mean 'income'?"],
    ),
    "absent target, other delimiter": (
        lambda f: {"source": write(f, "a.csv", GOOD.replace(",", ";"))},
        ["no column 'income'", "data.read.delimiter to ';'"],
    ),
    "absent feature": (
        lambda f: {"source": write(f, "a.csv", GOOD), "features": {"aeg": {"kind": "drop"}}},
        ["no column 'aeg'", "data.features", "Did you mean 'age'?"],
    ),
    "absent weight": (
        lambda f: {"source": write(f, "a.csv", GOOD), "weight": "wieght"},
        ["no column 'wieght'", "data.weight"],
    ),
    "absent split column": (
        lambda f: {
            "source": write(f, "a.csv", GOOD),
            "split": {"kind": "hash", "column": "citi"},
        },
        ["no column 'citi'", "data.split.column", "Did you mean 'city'?"],
    ),
    "all targets missing": (
        lambda f: {"source": write(f, "a.csv", "age,income\n1,\n2,NA\n")},
        ["no value in any row", "'income'"],
    ),
    "one class": (
        lambda f: {"source": write(f, "a.csv", "age,income\n1,low\n2,low\n")},
        ["one class: 'low'", "at least two"],
    ),
    "a class for each row": (
        lambda f: {"source": write(f, "a.csv", "age,income\n1,low\n2,high\n3,higher\n")},
        ["each of the 3 rows has a class of its own", "'income'"],
    ),
    "one number for regression": (
        lambda f: {"source": write(f, "a.csv", "a,income\n1,2\n2,2\n"), "task": "regression"},
        ["the target is 2 in every row", "'income'"],
    ),
    "no file": (
        lambda _: {"source": "/dev/null", "format": "csv"},
        ["neither a file nor a directory"],
    ),
    "text for regression": (
        lambda f: {"source": write(f, "a.csv", GOOD), "task": "regression"},
        ["the target is 'high' there", "no number", "'income', row 1 of ", "a.csv"],
    ),
    "infinite target": (
        lambda f: {"source": write(f, "a.csv", "a,income\n1,inf\n2,0.5\n"), "task": "regression"},
        ["infinite in 1 rows"],
    ),
    "unknown positive": (
        lambda f: {"source": write(f, "a.csv", GOOD), "positive": "hihg"},
        ["'hihg' is no class", "Did you mean 'high'?"],
    ),
    "parquet called csv": (
        lambda f: {"source": write(f, "a.csv", b"PAR1" + bytes(100))},
        ["the content is parquet", "data.format to parquet"],
    ),
    "csv called parquet": (
        lambda f: {"source": write(f, "a.parquet", GOOD)},
        ["the content is no parquet"],
    ),
    "torn parquet": (
        lambda f: {"source": write(f, "a.parquet", b"PAR1" + bytes(100))},
        ["no whole Parquet file"],
    ),
    "gzip called csv": (
        lambda f: {"source": write(f, "a.csv", gzip.compress(GOOD.encode()))},
        ["the content is gzip", ".gz"],
    ),
    "csv called gzip": (
        lambda f: {"source": write(f, "a.csv.gz", GOOD)},
        ["the content is no gzip"],
    ),
    "torn gzip": (
        lambda f: {"source": write(f, "a.csv.gz", gzip.compress(GOOD.encode())[:-12])},
        ["reading failed", "a.csv.gz"],
    ),
    "binary called csv": (
        lambda f: {"source": write(f, "a.csv", b"a,b\n\x00\x01\x02,\x00\n")},
        ["the content is binary"],
    ),
    "latin-1": (
        lambda f: {"source": write(f, "a.csv", GOOD.replace("Rome", "Köln").encode("latin-1"))},
        ["a.csv:4", "byte 0xf6 is not UTF-8", "likely to latin-1"],
    ),
    "cp1252 in the header": (
        lambda f: {"source": write(f, "a.csv", "a\x80b,income\n1,x\n".encode("latin-1"))},
        ["a.csv:1", "likely to cp1252"],
    ),
    "utf-16": (
        lambda f: {"source": write(f, "a.csv", GOOD.encode("utf-16"))},
        ["a.csv:1", "likely to utf-16"],
    ),
    "wrong stated encoding": (
        lambda f: {
            "source": write(f, "a.csv", b"a,income\n1,\xff\n"),
            "read": {"encoding": "ascii"},
        },
        ["is not ascii"],
    ),
    "ragged record": (
        lambda f: {"source": write(f, "a.csv", "a,income\n\n1,x\n2,y,z\n3,x\n")},
        ["a.csv:4", "has 3 fields", "2, as there are columns"],
    ),
    "ragged record after a quoted line break": (
        lambda f: {"source": write(f, "a.csv", 'a,income\n"1\n2",x\n2\n')},
        ["a.csv:4", "has 1 field"],
    ),
    "name stands twice": (
        lambda f: {"source": write(f, "a.csv", "a, a,income\n1,2,x\n")},
        ["more than once: 'a'"],
    ),
    "too few given names": (
        lambda f: {
            "source": write(f, "a.csv", GOOD),
            "read": {"header": False, "names": ["a", "income"]},
        },
        ["first record has 3 fields", "2, as data.read.names"],
    ),
    "unknown split word": (
        lambda f: {
            "source": write(f, "a.csv", "a,part,income\n1,train,x\n2,tset,y\n"),
            "split": {"kind": "fixed", "column": "part"},
        },
        ["'tset'", "validation"],
    ),
    "test file without a column": (
        lambda f: {
            "source": write(f, "a.csv", GOOD),
            "test_source": write(f, "b.csv", GOOD.replace("city", "town")),
        },
        ["lacks 'city'", "has 'town' besides", "b.csv"],
    ),
    "test file with another class": (
        lambda f: {
            "source": write(f, "a.csv", GOOD),
            "test_source": write(f, "b.csv", GOOD.replace("high", "high.")),
        },
        ["'high.' is no class", "Did you mean 'high'?", "data.labels"],
    ),
    "wrong image magic": (
        lambda f: {"source": idx(f, images_of(3, magic=2049), labels_of(3)), "target": "label"},
        ["magic number is 2049", "2051, for images"],
    ),
    "swapped idx files": (
        lambda f: {"source": idx(f, labels_of(3), images_of(3)), "target": "label"},
        ["those are labels"],
    ),
    "different numbers of images and labels": (
        lambda f: {"source": idx(f, images_of(3), labels_of(4)), "target": "label"},
        ["3 images stand beside 4 labels"],
    ),
    "a path for idx": (
        lambda f: {"source": write(f, "a", images_of(3)), "format": "idx"},
        ["two files", "{idx: {images: FILE, labels: FILE}}"],
    ),
}


@pytest.mark.parametrize(("case", "told"), CASES.values(), ids=CASES.keys())
def test_fault_is_told_in_full(case: Case, told: list[str], tmp_path: Path) -> None:
    settings = DataSettings.model_validate({"target": "income", **case(tmp_path)})
    with pytest.raises(DataError) as raised:
        quick_check(settings)
    message = str(raised.value)
    assert [part for part in told if part not in message] == [], message
    assert raised.value.exit_code == 2
    assert raised.value.where
    assert raised.value.expected
    assert raised.value.mend


def test_unreadable_column_of_parquet_is_told_with_its_name(tmp_path: Path) -> None:
    from distrain.data.reading import Reading
    from distrain.data.runs import read_runs
    from distrain.data.sources import list_source
    from distrain.data.units import cut_into_units

    table = pa.table({"a": [[1], [2, 3]], "income": ["x", "y"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    reading = Reading("parquet", ("a", "income"), ("a", "income"))
    (unit,) = cut_into_units(list_source(str(tmp_path / "a.parquet")), reading)
    with pytest.raises(DataError, match=r"column 'a': columns of type list.* cannot be read"):
        list(read_runs(unit, reading))
