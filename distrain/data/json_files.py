"""Units of JSON files as tables: JSON lines like any text in lines, or small lists of records."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from distrain.data.files import SourceFile
from distrain.data.json_text import JsonText, line_with, parse_json
from distrain.data.reading import FileLog, Piece, Reading, Unit
from distrain.data.text_files import last_line_end, load_text, read_beginning, text_parts
from distrain.data.typed_tables import canonical_table
from distrain.errors import DataError, did_you_mean

MAX_LIST_BYTES: Final = 32 * 2**20
"""A list of records has to be read in one go."""


def read_json_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    for piece in unit.pieces:
        for text in _texts(piece, reading, log, in_parts=unit.is_read_in_passes):
            table = _columns_of(parse_json(text, reading.column_types), text, reading)
            log.count_rows(piece, table.num_rows)
            yield table


def read_json_head(
    file: SourceFile, reading: Reading, num_bytes: int
) -> tuple[JsonText, bool, int]:
    """Return a file's first whole records.

    Returns:
        The text, whether it is the whole file, and how many stored bytes it came from.

    Raises:
        DataError: it is no text, or a list of records that is too long.
    """
    may_be_list = reading.format == "json"
    beginning = read_beginning(file, reading, num_bytes, last_line_end)
    text = JsonText(beginning.text, file.uri, may_be_list=may_be_list)
    if text.is_list and not beginning.is_whole:
        beginning = read_beginning(file, reading, MAX_LIST_BYTES, len)
        text = JsonText(beginning.text, file.uri, may_be_list=True)
        if not beginning.is_whole:
            raise _long_list(file.uri)
    return text, beginning.is_whole, beginning.stored_bytes


def _texts(piece: Piece, reading: Reading, log: FileLog, *, in_parts: bool) -> Iterator[JsonText]:
    may_be_list = reading.format == "json"
    loaded = None if in_parts else load_text(piece, reading, log)
    if loaded is not None:
        yield JsonText(loaded, piece.file.uri, 0, piece.start, may_be_list)
        return
    for part, lines in text_parts(piece, reading, log, last_line_end):
        text = JsonText(part, piece.file.uri, lines, may_be_list=may_be_list and not lines)
        if text.is_list:
            raise _long_list(piece.file.uri)
        yield text


def _columns_of(table: pa.Table, text: JsonText, reading: Reading) -> pa.Table:
    """Return the wanted columns; nulls where no record has one.

    Raises:
        DataError: a record has a column besides, or values that no column can hold.
    """
    extra = [name for name in table.column_names if name not in reading.columns]
    if extra:
        raise DataError(
            f"the record has {extra[0]!r} besides",
            where=line_with(text, extra[0]),
            expected="the columns that the first records of the source have",
            mend=did_you_mean(extra[0], reading.columns, listed="They have")
            + " If it is a column of its own, write it as null in the first record.",
        )
    absent = pa.nulls(table.num_rows)
    columns = {
        name: table.column(name) if name in table.column_names else absent
        for name in reading.wanted
    }
    return canonical_table(pa.table(columns), text.uri)


def _long_list(uri: str) -> DataError:
    return DataError(
        f"a list of records of more than {MAX_LIST_BYTES:,} bytes has to be read in one go",
        where=uri,
        expected="JSON lines, a record in each, for so many",
        mend="Write the file with a record in each line and the extension .jsonl "
        "(pandas: to_json(path, orient='records', lines=True)).",
    )
