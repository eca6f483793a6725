"""Data that is at fault: files, what they hold, and what is asked of them."""

import gzip
import io
import os
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from tests.bad_cases import HEADER, PEOPLE, REGRESSION, Case, holdout, source, word
from tests.file_formats import png, zstd

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PETS = ("cat/a", "cat/c", "cat/d", "dog/a", "dog/c")


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def npy(array: "np.ndarray[Any, Any]") -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


def npz(**arrays: "np.ndarray[Any, Any]") -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def idx(magic: int, num_images: int, num_labels: int, *parts: str) -> Case:
    images = struct.pack(">4I", magic, num_images, 2, 2) + bytes(4 * num_images)
    labels = struct.pack(">2I", 2049, num_labels) + bytes(num_labels)
    words = ("data.source={idx: {images: im, labels: la}}", "data.target=label")
    return Case(words, parts, {"im": images, "la": labels}, kind="data")


def pets(content: bytes, *parts: str, words: tuple[str, ...] = ()) -> Case:
    """A folder of images, one of which is at fault."""
    files = {f"pets/{at}.png": png(np.zeros((2, 2), np.uint8)) for at in PETS}
    words = ("data.source=pets", "data.target=label", *words)
    return Case(words, parts, {**files, "pets/dog/b.png": content}, kind="data")


def jpeg(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG")
    return sink.getvalue()


DATA = {
    "missing file": word(
        "data.source=peple.csv", "no such file", "Did you mean 'people.csv'?", kind="data"
    ),
    "glob without a match": word(
        "data.source='part-*.csv'", "no file matches", "at least one file", kind="data"
    ),
    "empty file": source("", "the file is empty"),
    "header alone": source(HEADER, "columns but no rows", "bad.csv"),
    "blank lines": source("\n\n", "nothing but white space"),
    "empty folder": word(
        "data.source=sub", "it is empty", kind="data", prepare=lambda f: (f / "sub").mkdir()
    ),
    "no regular file": word(
        "data.source=pipe.csv",
        "neither a file nor a directory",
        kind="data",
        prepare=lambda folder: os.mkfifo(folder / "pipe.csv"),
    ),
    "absent target": word(
        "data.target=incom",
        "no column 'incom'",
        "Did you mean 'income'? Columns: age, city, hours, income",
        kind="data",
    ),
    "one class": source(HEADER + "1,A,2,low\n2,B,3,low\n", "one class: 'low'", "at least two"),
    "a class for each row": source(
        HEADER + "1,A,2,low\n2,B,3,mid\n3,C,3,high\n", "each of the 3 rows has a class of its own"
    ),
    "target all missing": source(HEADER + "1,A,2,\n2,B,3,NA\n", "no value in any row", "'income'"),
    "csv called parquet": source(PEOPLE, "is no parquet", "data.format", name="bad.parquet"),
    "parquet called csv": source(parquet(income=["a", "b"]), "is parquet", "data.format"),
    "binary called csv": source(bytes(range(256)) * 9, "the content is binary", "Expected text"),
    "torn gzip": source(
        gzip.compress(PEOPLE.encode())[:-40], "reading failed", "whole", name="bad.csv.gz"
    ),
    "no bytes called parquet": source("", "the file is empty", name="bad.parquet"),
    "torn parquet": source(
        parquet(income=["a", "b"])[:-9], "no whole Parquet file", name="bad.parquet"
    ),
    "parquet without rows": source(
        parquet(income=pa.array([], pa.string())), "columns but no rows", name="bad.parquet"
    ),
    "other encoding": source(
        (PEOPLE + "3,Köln,3,low\n").encode("latin-1"),
        "bad.csv:62: byte 0xf6 is not UTF-8",
        "data.read.encoding, likely to latin-1",
    ),
    "unknown encoding": word("data.read.encoding=utf-9", "no encoding", "Try utf-8"),
    "UTF-16": source(PEOPLE.encode("utf-16"), "bad.csv:1: byte 0xff", "likely to utf-16"),
    "gzip that is none": source(PEOPLE, "the content is no gzip", name="bad.csv.gz"),
    "gzip under a plain name": source(
        gzip.compress(PEOPLE.encode()), "the content is gzip", "Give the file the extension .gz"
    ),
    "torn zstd": source(
        zstd(PEOPLE.encode() * 9)[:-20], "reading failed (Truncated", name="bad.csv.zst"
    ),
    "Excel file": source(b"PK\3\4", ".xlsx files are not read", "as CSV", name="bad.xlsx"),
    "Excel file called csv": source(b"PK\3\4" + bytes(99), "zip (an Excel file is one)"),
    "pickle": source(b"\x80\4", ".pkl files are not", "Nothing is unpickled", name="bad.pkl"),
    "archive": source(b"PK\3\4", ".zip files are not read", "Unpack it", name="bad.zip"),
    "pointer of Git LFS": source(
        POINTER, "a pointer of Git LFS", "git lfs pull", name="bad.parquet"
    ),
    "page in place of the file": source(
        "<!DOCTYPE html>\n<html>Sign in</html>\n", "it begins '<!DOCTYPE html>'", "want a login"
    ),
    "header that is missing": source(
        PEOPLE.removeprefix(HEADER),
        "no column 'income'",
        "If the first row is no header, set data.read.header to false and give data.read.names",
    ),
    "line before the header": source(
        f"sep=,\n{PEOPLE}", "bad.csv:2", "If the first line, 'sep=,', is no header, take it out"
    ),
    "one row": source(HEADER + "1,A,2,low\n", "one class: 'low'", "at least two classes"),
    "target of another case": source(PEOPLE.replace("income", "Income"), "mean 'Income'?"),
    "folder without data": Case(
        ("data.source=docs",),
        ("no data files; there are files with .md", "files that end in .csv"),
        {"docs/readme.md": "hello"},
        kind="data",
    ),
    "folder of several formats": Case(
        ("data.source=mixed",),
        ("files of different formats stand together: csv, tsv", "Set data.format to the one"),
        {"mixed/a.csv": PEOPLE, "mixed/b.tsv": PEOPLE},
        kind="data",
    ),
    "file named twice": word(
        "data.source=[people.csv, '*.csv']", "people.csv: the file is listed twice", kind="data"
    ),
    "path of another system": word(
        r"data.source='C:\data\people.csv'", "no such file", "mean 'people.csv'?", kind="data"
    ),
    "unknown scheme": word("data.source=ftq://host/a", "ftq://host/a", "scheme", kind="data"),
    "server that is not there": word(
        "data.source=http://127.0.0.1:1/a.csv", "Connection refused", "connection", kind="data"
    ),
    "labels for images": idx(2049, 9, 9, "the magic number is 2049", "2051, for images"),
    "one label too few": idx(2051, 9, 8, "9 images stand beside 8 labels", "of the same split"),
    "key twice in a record": source(
        '{"age": 1, "income": "a"}\n{"age": 1, "age": 2}\n',
        "bad.jsonl:2",
        "'age' twice",
        name="bad.jsonl",
    ),
    "JSON of Python": source(
        "{'age': 1, 'income': 'a'}\n", "bad.jsonl:1", "enclosed in double quotes", name="bad.jsonl"
    ),
    "objects within objects": source(
        '{"age": {"years": 1}, "income": "a"}\n{"age": {"years": 2}, "income": "b"}\n',
        "column 'age'",
        "struct<years: int64> cannot be read",
        "data.features: {age: drop}",
        name="bad.jsonl",
    ),
    "lists in parquet": source(
        parquet(age=[[1], [2]], income=["a", "b"]), "column 'age'", "list<", name="bad.parquet"
    ),
    "cube of numbers": source(
        npy(np.zeros((4, 2, 2))), "the shape (4, 2, 2)", "Reshape it", name="bad.npy"
    ),
    "torn npy": source(
        npy(np.zeros((9, 2)))[:-8], "264 bytes", "272, as its header says", name="bad.npy"
    ),
    "npz that is none": source(PEOPLE, "the content is no npz", name="bad.npz"),
    "complex numbers": source(
        npz(age=np.zeros(4, complex), income=np.arange(4)),
        "array 'age'",
        "complex128",
        name="bad.npz",
    ),
    "image of 16 bits": source(
        png(np.zeros((2, 2), np.uint16)), "of the kind I;16", "to 8 bits", name="bad.png"
    ),
    "unknown group": word(
        "data.split={kind: group, column: town}", "no column 'town'", "split.column", kind="data"
    ),
    "words for no split": word(
        "data.split={kind: fixed, column: city}", "holds 'Bern', 'Oslo', 'Rome'", kind="data"
    ),
    "labels that make one class": word(
        "data.labels={low: x, high: x}", "one class: 'x'", kind="data"
    ),
    "positive class of three": word(
        "data.positive=Bern",
        "there are 3 classes",
        kind="data",
        files={"run.yaml": "data: {source: people.csv, target: city}\n"},
    ),
    "ragged record": source(PEOPLE + "1,Bern,3\n", "bad.csv:62", "3 fields", "4, as there are"),
    "open quote": source(PEOPLE + '1,"Bern,3,low\n2,Rome,3,high\n', "bad.csv:63", "2 fields"),
    "column named twice": source("age,age,income\n1,2,a\n2,3,b\n", "more than once: 'age'"),
    "other delimiter": source(PEOPLE.replace(",", ";"), "data.read.delimiter to ';'"),
    "JSON line cut in the middle": source(
        '{"age": 1, "income": "a"}\n{"age": 2, "inc', "bad.jsonl:2", "cut short", name="bad.jsonl"
    ),
    "JSON list of numbers": source("[1, 2]", "record 1", "is a number", name="bad.json"),
    "zero bytes": source(b"age,income\n1,a\n\0\0", "is binary", "byte 15 is zero"),
    "arrow that is none": source("age,income\n", "is no arrow", name="bad.arrow"),
    "torn arrow": source(b"ARROW1\0\0torn", "no whole Arrow file", name="bad.arrow"),
    "npy of objects": source(npy(np.array([{}])), "would be unpickled", name="bad.npy"),
    "npz without the array": source(
        npz(x_train=np.zeros((4, 2)), y_train=np.zeros(4)),
        "no array 'y_trian'",
        "Did you mean 'y_train'?",
        name="bad.npz",
        words=("data.read.arrays={income: y_trian}",),
    ),
    "npz of arrays that differ in length": source(
        npz(age=np.zeros(4), income=np.zeros(5)), "has 5 rows", "Expected 4", name="bad.npz"
    ),
    "image that is none": source("hello", "cannot be decoded", name="bad.png"),
    "images in one folder": Case(
        ("data.source=dogs", "data.target=label"),
        ("all 2 files lie in one folder", "a folder for each class"),
        {
            "dogs/a.png": png(np.zeros((2, 2), np.uint8)),
            "dogs/b.png": png(np.ones((2, 2), np.uint8)),
        },
        kind="data",
    ),
    "text files in one folder": Case(
        ("data.source=texts", "data.format=text", "data.target=label"),
        ("all 2 files lie in one folder", "data.read.example to line"),
        {"texts/neg.txt": "dull\nlong\n", "texts/pos.txt": "great\nshort\n"},
        kind="data",
    ),
    "packed parquet": source(gzip.compress(b"a"), "Unpack it first", name="bad.parquet.gz"),
    "unknown feature": word(
        "data.features={aeg: drop}", "no column 'aeg'", "Did you mean 'age'?", kind="data"
    ),
    "unknown weight": word("data.weight=hour", "Did you mean 'hours'?", kind="data"),
    "positive class that is not there": word(
        "data.positive=hihg", "'hihg' is no class", "Did you mean 'high'?", kind="data"
    ),
    "infinite regression target": source(
        HEADER + "1,A,2,low\n2,B,inf,low\n3,B,4,low\n", "infinite in 1 rows", words=REGRESSION
    ),
    "text in a regression target": source(
        HEADER + "1,A,2,low\n2,B,many,low\n",
        "the target is 'many' there",
        "column 'hours', row 2 of",
        words=REGRESSION,
    ),
    "regression target that never changes": source(
        HEADER + "1,A,2,low\n2,B,2,low\n", "the target is 2 in every row", words=REGRESSION
    ),
    "absent test file": word("data.test_source=test.csv", "no such file", kind="data"),
    "test file without a column": holdout(
        PEOPLE.replace("hours", "hour"), "lacks 'hours'", "Did you mean 'hour'?", "test.csv"
    ),
    "test file without rows": holdout(HEADER, "columns but no rows", "test.csv"),
    "test file with another class": holdout(
        PEOPLE.replace("high", "High"), "'High' is no class", "Did you mean 'high'?", "data.labels"
    ),
    "unknown built-in": word(
        "data.source=sklearn:digit", "Did you mean 'sklearn:digits'?", kind="data"
    ),
}

# Told where all rows are read, on Ray.
ROWS = {
    "ragged record far into the file": source(
        PEOPLE + "".join(f"{i % 90},Bern,{i % 70},low\n" for i in range(350_000)) + "1,2,3\n",
        "bad.csv:350062",
        "3 fields",
    ),
    "text where numbers were, in the test file": holdout(
        HEADER + "old,Bern,40,low\n", "'old' is not a number", "column 'age', row 1 of", "test.csv"
    ),
    "text in a numeric column": source(
        HEADER + "1,A,2,low\n2,B,3,high\nold,C,4,low\n4,D,5,high\n",
        "'old' is not a number",
        "column 'age', row 3 of",
        "bad.csv",
        words=("data.features={age: numeric}",),
    ),
    "image of another size": pets(
        png(np.zeros((3, 2), np.uint8)),
        "the image has height 3 and width 2",
        "pets/dog/b.png",
        "size: [height, width]",
    ),
    "image that ends early": pets(
        png(np.zeros((2, 2), np.uint8))[:44],
        "the image cannot be decoded",
        "pets/dog/b.png",
        "Fetch the file again",
    ),
    "file without a column": Case(
        ("data.source=parts",),
        ("parts/2.csv: the file lacks 'hours'", "the columns of the first file"),
        {"parts/1.csv": PEOPLE, "parts/2.csv": "age,city,income\n1,Bern,low\n"},
        kind="data",
    ),
    "record with another key": Case(
        ("data.source=parts",),
        ("2.jsonl:1: the record has 'incom' besides", "Did you mean 'income'?"),
        {
            "parts/1.jsonl": '{"age": 1, "income": "a"}\n{"age": 1, "income": "b"}\n' * 9,
            "parts/2.jsonl": '{"age": 1, "incom": "b"}\n',
        },
        kind="data",
    ),
    "one class in parquet": source(
        parquet(age=[1, 2], income=["a", "a"]), "one class: 'a'", name="bad.parquet"
    ),
    "words for times": word(
        "data.split={kind: time, column: city}",
        "such as 'Bern' in row 1 of",
        "a time, a date",
        kind="data",
    ),
    "image that is text": pets(b"hello", "cannot be decoded", "pets/dog/b.png"),
    "image that was not fetched": pets(POINTER.encode(), "pets/dog/b.png: this is a pointer of"),
    "photograph without its end": pets(
        jpeg(np.tile(np.arange(64, dtype=np.uint8), (64, 1)))[:-40],
        "the image cannot be decoded (image file is truncated",
        words=("data.read.size=2",),
    ),
    "weight that is missing": source(
        PEOPLE + "1,Bern,,low\n", "1 rows without a value", "'hours'", words=("data.weight=hours",)
    ),
    "weight that is zero": source(
        "".join(f"{line},{'n' if line in HEADER else 0}\n" for line in PEOPLE.splitlines()),
        "the weight is zero in every row",
        words=("data.weight=n",),
    ),
    "negative weight": source(
        PEOPLE + "1,Bern,-2,low\n", "negative (down to -2)", "'hours'", words=("data.weight=hours",)
    ),
    "weight that is text": word("data.weight=city", "the weight is text", "'city'", kind="data"),
    "no feature": word(
        "data.features={age: drop, city: id, hours: drop}", "no feature is left", kind="data"
    ),
    "more workers than the cluster has": Case(
        ("train.num_workers=5", "train.logical_shards=8"),
        ("5 workers with 1 CPU each do not fit on the cluster", "take 4", "fewer workers"),
    ),
}


def odd_rows(num_rows: int = 60) -> bytes:
    """Return rows that are odd in the ways of `ODDITIES`; the last of many is there twice."""
    lines = ["the age,a.b,size,day,price,code,far,big,same,answer,"]
    for n in range(num_rows):
        date = 1 + n % 28
        day = (f"2024-01-{date}", f"{date}/02/2024", f"{date} Mar 2024")[n % 3]
        size = "unknown" if n == 17 else n / 4
        answer = "" if n in (5, 6) else ("Yes", "no", "yes ", "YES")[n * 7 % 4]
        far, big = ("inf" if n == 9 else n * 7 % 11), 10**20 * (1 + n * 7 % 13)
        row = (20 + n * 7 % 31, n * 5 % 9, size, day, f'"{n},5"', f"c{n}", far, big, 1, answer, "")
        lines.append(",".join(map(str, row)))
    repeated = lines[-1:] if num_rows > 10 else []
    return "\r\n".join([*lines, *repeated, ""]).encode("utf-8-sig")


# No fault: what is told of such data, as a pattern.
ODDITIES = {
    "byte order mark": r"\ncolumn 'the age' ",
    "names with blanks and dots": r"\ncolumn 'a\.b' .* as numeric",
    "near-duplicates of classes": r"the classes 'YES', 'Yes', 'yes' may be one; data\.labels",
    "types that are mixed": r"column 'size': most of it is numbers, but 'unknown' \(row 18 of",
    "dates in three forms": r"column 'day': most of it looks like dates, such as '2024-01-1' \(",
    "decimal commas": r"column 'price': most of it is numbers with a comma, such as '0,5' \(row",
    "texts that are all different": r"column 'code': nearly every row has a text of its own",
    "infinite numbers": r"column 'far': 1 infinite numbers count as missing",
    "whole numbers beyond 64 bits": r"\ncolumn 'big' +double as numeric",
    "column that never changes": r"column 'same': every row has the same value; left out",
    "delimiter at each line's end": r"column 'unnamed_10': no row has a value; left out",
    "rows without a target": r"column 'answer': 2 rows of data.source have no target",
    "rows that are there twice": r"1 rows repeat another row in every column",
    "test rows among the training rows": r"[0-9]+ rows of data\.test_source are also in",
    "label that no row has": r"data\.labels renames 'hihg', which no row has",
}
