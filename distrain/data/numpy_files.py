"""Units of .npy files as tables, by blocks of rows; nothing is ever unpickled."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa

from distrain.data.files import Listing, SourceFile, open_file
from distrain.data.npy_arrays import Array, array_form, array_table, blocks_of
from distrain.data.npy_header import ArrayForm, ColumnNames
from distrain.data.opened import OpenedSource, check_names_once
from distrain.data.reading import FileLog, Piece, Reading, Unit
from distrain.data.sniff import HEAD_BYTES, check_content
from distrain.data.typed_tables import (
    canonical_table,
    check_same_columns,
    check_same_shapes,
    hash_part,
)
from distrain.errors import DataError

GROUP_ROWS: Final = 65_536
_NAMES: Final = ColumnNames("c0", "c", "image")


def read_npy_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    for piece in unit.pieces:
        with open_file(piece.file.uri) as source:
            check_content(piece.file, source.read(HEAD_BYTES), reading.format)
            log.add(piece, *hash_part(source, piece))
            source.seek(0)
            form = _form(source, piece.file, reading)
            _check_columns(form, piece.file, reading)
            for block in _blocks(source, form, piece):
                table = array_table(form, block).select(list(reading.wanted))
                log.count_rows(piece, table.num_rows)
                yield canonical_table(table, piece.file.uri)


def open_npy(listing: Listing, reading: Reading) -> OpenedSource:
    """Return .npy files opened, by their headers.

    Raises:
        DataError: one is no array of rows.
    """
    rows, forms = 0, []
    for file in listing.files:
        with open_file(file.uri) as source:
            check_content(file, source.read(HEAD_BYTES), reading.format)
            source.seek(0)
            forms.append(_form(source, file, reading))
            rows += forms[-1].num_rows
    first = forms[0]
    check_names_once(first.columns, listing.files[0].uri)
    reading = replace(
        reading, columns=first.columns, wanted=first.columns, image_shapes=first.image_shapes
    )
    return OpenedSource(listing, reading, rows, True, pa.table({}))


def row_group_sizes(uri: str) -> list[int]:
    """Return the size of each group of rows, in bytes; of columns one by one, of all."""
    with open_file(uri) as source:
        form = array_form(source, uri, _NAMES)
    if form.is_by_column:
        return [form.num_bytes]
    groups = -(-form.num_rows // GROUP_ROWS)
    return [
        form.row_bytes * min(GROUP_ROWS, form.num_rows - group * GROUP_ROWS)
        for group in range(groups)
    ]


def _form(source: pa.NativeFile, file: SourceFile, reading: Reading) -> ArrayForm:
    given = reading.columns if reading.has_given_names else ()
    form = array_form(source, file.uri, _NAMES, given)
    end = form.start + form.num_bytes
    if end != file.num_bytes:
        raise DataError(
            f"the file has {file.num_bytes:,} bytes",
            where=file.uri,
            expected=f"{end:,}, as its header says: {form.shape} of {form.dtype}",
            mend="Fetch the file again.",
        )
    return form


def _check_columns(form: ArrayForm, file: SourceFile, reading: Reading) -> None:
    check_same_columns(form.columns, file.uri, reading)
    check_same_shapes(form.image_shapes, file.uri, reading)


def _blocks(source: pa.NativeFile, form: ArrayForm, piece: Piece) -> Iterator[Array]:
    stop = form.num_rows if piece.stop is None else min(piece.stop * GROUP_ROWS, form.num_rows)
    start = piece.start * GROUP_ROWS
    source.seek(form.start + start * form.row_bytes)
    yield from blocks_of(source, form, start, stop)
