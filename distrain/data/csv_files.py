"""Units of delimited text files as tables: small files together, a range of one, or a stream."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import Final

import pyarrow as pa

from distrain.data.columns import common_type, type_name
from distrain.data.csv_text import (
    CsvForm,
    CsvText,
    first_record,
    has_split_records,
    header_names,
    parse,
    records_end,
)
from distrain.data.files import SourceFile
from distrain.data.reading import CannotCut, FileLog, Piece, Reading, Unit
from distrain.data.text_files import load_text, read_beginning, text_parts
from distrain.data.typed_tables import check_same_columns
from distrain.errors import DataError

_HEAD_BYTES: Final = 2**20


def read_csv_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    if unit.is_read_in_passes:
        yield from _read_stream(unit.pieces[0], reading, log)
        return
    loaded = [_load_piece(piece, reading, log) for piece in unit.pieces]
    texts = [text for text in loaded if text is not None]
    if len(texts) < len(loaded):  # one is larger than its packed size lets one expect
        for piece in unit.pieces:
            yield from _read_stream(piece, reading, log)
        return
    forms = [_form(text, piece, reading) for text, piece in zip(texts, unit.pieces, strict=True)]
    tables = [_parse(text, form) for text, form in zip(texts, forms, strict=True)]
    disputed = _disputed_columns(tables, reading)
    if disputed:
        forms = [replace(form, column_types={**form.column_types, **disputed}) for form in forms]
        tables = [_parse(text, form) for text, form in zip(texts, forms, strict=True)]
    for piece, table in zip(unit.pieces, tables, strict=True):
        log.count_rows(piece, table.num_rows)
        yield table


def read_head(file: SourceFile, reading: Reading, num_bytes: int) -> tuple[CsvText, bool, int]:
    """Return a file's first whole records as UTF-8.

    Returns:
        The text, whether it is the whole file, and how many stored bytes it came from.
    """
    beginning = read_beginning(file, reading, num_bytes, records_end)
    has_split = has_split_records(beginning.text)
    text = CsvText(beginning.text, file.uri, reading.has_header, has_split_records=has_split)
    return text, beginning.is_whole, beginning.stored_bytes


def names_in_file(text: CsvText, reading: Reading) -> tuple[str, ...]:
    """Return the column names of a file, from its header, from the settings, or `f0`, `f1` ...

    Args:
        text: the beginning of the file.
        reading: how it is read; `columns` are names from the settings where there are any.

    Raises:
        DataError: names were given and the file has another number of columns.
    """
    if reading.has_given_names:
        fields = first_record(text.text, text.uri, reading.delimiter)
        if fields and len(fields) != len(reading.columns):
            raise DataError(
                f"the first record has {len(fields)} fields",
                where=f"{text.uri}:1",
                expected=f"{len(reading.columns)}, as data.read.names gives names",
                mend="Correct data.read.names or data.read.delimiter.",
            )
        return reading.columns
    if reading.has_header:
        strip = reading.text.strip
        return header_names(text.text, text.uri, reading.delimiter, strip=strip)
    fields = first_record(text.text, text.uri, reading.delimiter)
    return tuple(f"f{place}" for place in range(len(fields)))


def _load_piece(piece: Piece, reading: Reading, log: FileLog) -> CsvText | None:
    """Return a small file, or the lines that begin within a range of a large one.

    None stands for a packed file that is too large to be held when it is unpacked.

    Raises:
        CannotCut: a quoted field may go over a line break, so that the range's ends may be wrong.
    """
    text = load_text(piece, reading, log)
    if text is None:
        return None
    is_split = has_split_records(text)
    if is_split and piece.stop is not None:
        raise CannotCut(piece.file.uri)
    has_header = reading.has_header and piece.start == 0
    return CsvText(text, piece.file.uri, has_header, 0, piece.start, is_split)


def _read_stream(piece: Piece, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield a file that is too large to hold, part by part, cut where records end."""
    form: CsvForm | None = None
    for part, lines in text_parts(piece, reading, log, records_end):
        has_header = reading.has_header and form is None
        text = CsvText(part, piece.file.uri, has_header, lines, 0, has_split_records(part))
        form = form or _form(text, piece, reading)
        table = _parse(text, form)
        log.count_rows(piece, table.num_rows)
        yield table


def _form(text: CsvText, piece: Piece, reading: Reading) -> CsvForm:
    """Return how this file's records become columns; its columns may stand in another order.

    Raises:
        DataError: its columns are not those of the source.
    """
    if piece.start == 0:
        names = names_in_file(text, reading) if text.text else reading.columns
    else:
        names = names_in_file(read_head(piece.file, reading, _HEAD_BYTES)[0], reading)
    check_same_columns(names, piece.file.uri, reading)
    return CsvForm(names, reading.wanted, reading.column_types, reading.text, reading.delimiter)


def _parse(text: CsvText, form: CsvForm) -> pa.Table:
    if not text.text or text.text.isspace():
        return pa.table({name: pa.nulls(0) for name in form.wanted})
    return parse(text, form)


def _disputed_columns(tables: list[pa.Table], reading: Reading) -> dict[str, str]:
    """Return the columns that files read as different types, with `string` for each."""
    disputed = {}
    for name in reading.wanted:
        kinds = {type_name(table.schema.field(name).type) or "string" for table in tables}
        if reduce(common_type, kinds) == "string" and not kinds <= {"string", "null"}:
            disputed[name] = "string"
    return disputed
