"""The same rows written in each format that is read."""

import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from PIL import Image

Columns = Mapping[str, Sequence[Any]]
Writer = Callable[[Path, Columns], None]


def write_json_lines(path: Path, columns: Columns) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in records(columns)))


def records(columns: Columns) -> list[dict[str, Any]]:
    return pa.table(dict(columns)).to_pylist()


def write_arrow(
    path: Path, columns: Columns, batch_rows: int = 7, *, is_stream: bool = False
) -> None:
    table = pa.table(dict(columns))
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)


def write_structured(path: Path, columns: Columns) -> None:
    arrays = {name: np.array(values) for name, values in columns.items()}
    rows = np.empty(
        len(next(iter(columns.values()))), dtype=[(name, a.dtype) for name, a in arrays.items()]
    )
    for name, values in arrays.items():
        rows[name] = values
    np.save(path, rows)


def csv_text(columns: Columns, delimiter: str = ",") -> str:
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join(delimiter.join(map(str, line)) + "\n" for line in lines)


def packed_csv(pack: Callable[[bytes], bytes]) -> Writer:
    return lambda path, columns: _write(path, pack(csv_text(columns).encode()))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


TABLES: dict[str, Writer] = {
    "rows.csv": lambda path, columns: _write(path, csv_text(columns).encode()),
    "rows.tsv": lambda path, columns: _write(path, csv_text(columns, "\t").encode()),
    "rows.csv.gz": packed_csv(gzip.compress),
    "rows.csv.zst": packed_csv(zstd),
    "rows.jsonl": write_json_lines,
    "rows.json": lambda path, columns: _write(path, json.dumps(records(columns)).encode()),
    "rows.parquet": lambda path, columns: pyarrow.parquet.write_table(
        pa.table(dict(columns)), path
    ),
    "rows.arrow": write_arrow,
    "rows.feather": lambda path, columns: write_arrow(path, columns, is_stream=True),
    "rows.npy": write_structured,
    "rows.npz": lambda path, columns: np.savez(
        path, **{k: np.array(v) for k, v in columns.items()}
    ),
}
"""Name of a file, and what writes a table to it."""


def png(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    """Return an image `(height, width[, 3])` as a file's content."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def write_image_folder(
    folder: Path, images: "np.ndarray[Any, np.dtype[np.uint8]]", labels: Sequence[Any]
) -> None:
    """Write a folder for each class; images keep their order where labels are sorted."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))


def write_image_table(
    path: Path, images: "np.ndarray[Any, np.dtype[np.uint8]]", labels: Sequence[Any]
) -> None:
    """Write images as the bytes of image files beside their labels, as Parquet."""
    columns = {"image": [png(image) for image in images], "label": list(labels)}
    pyarrow.parquet.write_table(pa.table(columns), path)
