"""Plain text as examples: each file one, of its folder's class, or each line, of its file's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa

from distrain.data.columns import TextRules
from distrain.data.files import COMPRESSIONS, Listing, SourceFile, without_query
from distrain.data.image_files import named_by_place
from distrain.data.opened import OpenedSource
from distrain.data.reading import FileLog, Piece, Reading, Unit
from distrain.data.text_files import (
    encoding_fault,
    last_line_end,
    load_text,
    read_beginning,
    text_parts,
)
from distrain.data.text_files import lines_before as lines_before_byte
from distrain.errors import DataError

FILE_COLUMNS: Final = ("file", "text", "label")
LINE_COLUMNS: Final = ("text", "label")
_HEAD_BYTES: Final = 2**20


def read_text_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the examples of a unit, in order; what was read is noted in `log`."""
    read = _read_lines if reading.is_by_line else _read_file
    for piece in unit.pieces:
        for table in read(piece, reading, log, in_parts=unit.is_read_in_passes):
            log.count_rows(piece, table.num_rows)
            yield table.select(reading.wanted)


def open_text(listing: Listing, reading: Reading) -> OpenedSource:
    """Return text opened; an example is missing only where there is nothing."""
    columns = LINE_COLUMNS if reading.is_by_line else FILE_COLUMNS
    rules = TextRules(missing=("",))
    reading = replace(reading, columns=columns, wanted=columns, text=rules)
    if reading.is_by_line:
        return _open_lines(listing, reading)
    sample = pa.table(named_by_place(listing.files))
    return OpenedSource(listing, reading, len(listing.files), True, sample, True)


def _open_lines(listing: Listing, reading: Reading) -> OpenedSource:
    file = next(file for file in listing.files if file.num_bytes)
    head = read_beginning(file, reading, _HEAD_BYTES, last_line_end)
    num_rows = sum(bool(line.strip()) for line in head.text.split(b"\n"))
    is_exact = head.is_whole and len(listing.files) == 1
    if not is_exact and head.stored_bytes:
        num_rows = round(num_rows * max(listing.num_bytes / head.stored_bytes, 1.0))
    return OpenedSource(listing, reading, num_rows, is_exact, pa.table({}))


def _read_file(
    piece: Piece, reading: Reading, log: FileLog, *, in_parts: bool
) -> Iterator[pa.Table]:
    content = None if in_parts else load_text(piece, reading, log)
    if content is None:
        raise DataError(
            f"the file is too large for one example ({piece.file.num_bytes:,} bytes)",
            where=piece.file.uri,
            expected="a file for each example",
            mend="Set data.read.example to line if each line is an example.",
        )
    text = pa.array([_decoded(content, piece, 0)], pa.string())
    yield pa.table({**named_by_place([piece.file]), "text": text})


def _read_lines(
    piece: Piece, reading: Reading, log: FileLog, *, in_parts: bool
) -> Iterator[pa.Table]:
    loaded = None if in_parts else load_text(piece, reading, log)
    whole = iter([(loaded, 0)]) if loaded is not None else None
    for part, before in whole or text_parts(piece, reading, log, last_line_end):
        lines = [line for line in _decoded(part, piece, before).split("\n") if line.strip()]
        label = pa.array([_class_of(piece.file)] * len(lines), pa.string())
        yield pa.table({"text": pa.array(lines, pa.string()), "label": label})


def _decoded(text: bytes, piece: Piece, lines_before: int) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as fault:
        before = lines_before or lines_before_byte(piece.file.uri, piece.start)
        raise encoding_fault(text, piece.file.uri, before, fault.start) from fault


def _class_of(file: SourceFile) -> str:
    """Return a file's name, without the extensions that say nothing of its class."""
    path = PurePosixPath(without_query(file.uri))
    if path.suffix.lower() in COMPRESSIONS:
        path = path.with_suffix("")
    return path.stem if path.suffix.lower() == ".txt" else path.name
