"""Image files as tables with the columns `file`, `image` and `label`: the name of their folder."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

import numpy as np
import pyarrow as pa

from distrain.data.files import Listing, SourceFile, open_file, without_query
from distrain.data.images import decoded, image_shape
from distrain.data.opened import OpenedSource
from distrain.data.reading import FileLog, Piece, Reading, Unit
from distrain.data.sniff import HEAD_BYTES, check_fetched
from distrain.errors import DataError

COLUMNS: Final = ("file", "image", "label")
NAMED_FORMATS: Final = ("images", "text")
"""Formats whose classes are the names of folders and files, and so no part of their content."""
_TABLE_BYTES: Final = 64 * 2**20


def read_image_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the images of a unit, in order; what was read is noted in `log`."""
    shape = reading.image_shapes[COLUMNS[1]]
    at_once = max(1, _TABLE_BYTES // int(np.prod(shape, dtype=np.int64)))
    for start in range(0, len(unit.pieces), at_once):
        pieces = unit.pieces[start : start + at_once]
        contents = [_content(piece, log) for piece in pieces]
        files = [piece.file for piece in pieces]
        columns = dict(named_by_place(files))
        if COLUMNS[1] in reading.wanted:
            uris = [file.uri for file in files]
            columns[COLUMNS[1]] = decoded(contents, shape, reading, uris.__getitem__)
        yield pa.table({name: columns[name] for name in reading.wanted})


def open_images(listing: Listing, reading: Reading) -> OpenedSource:
    """Return image files opened: the first says what shape they have.

    Raises:
        DataError: the first is no image.
    """
    first = listing.files[0]
    with open_file(first.uri) as source:
        content = source.read()
    check_fetched(content[:HEAD_BYTES], first.uri)
    shape = image_shape(content, first.uri, reading)
    if shape is None:
        raise DataError(
            "the image cannot be decoded",
            where=first.uri,
            expected="an image file",
            mend="Name the right directory, or set data.format.",
        )
    reading = replace(reading, columns=COLUMNS, wanted=COLUMNS, image_shapes={COLUMNS[1]: shape})
    sample = pa.table(named_by_place(listing.files))
    return OpenedSource(listing, reading, len(listing.files), True, sample, True)


def named_by_place(files: Sequence[SourceFile]) -> dict[str, pa.Array]:
    """Return for each file its folder and name, and its folder alone, which is its class."""
    paths = [PurePosixPath(without_query(file.uri)) for file in files]
    return {
        "file": pa.array([f"{path.parent.name}/{path.name}" for path in paths], pa.string()),
        "label": pa.array([path.parent.name for path in paths], pa.string()),
    }


def _content(piece: Piece, log: FileLog) -> bytes:
    with open_file(piece.file.uri) as source:
        content: bytes = source.read()
    log.add(piece, hashlib.sha256(content).hexdigest(), len(content))
    log.count_rows(piece, 1)
    return content
