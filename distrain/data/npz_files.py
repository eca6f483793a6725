"""Units of .npz files as tables: arrays of the same rows, read side by side, front to back."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final

import pyarrow as pa

from distrain.data.files import Listing, SourceFile, open_file
from distrain.data.npy_arrays import array_form, array_table, blocks_of
from distrain.data.npy_header import ArrayForm, ColumnNames, Source
from distrain.data.opened import OpenedSource, check_names_once
from distrain.data.reading import FileLog, Reading, Unit
from distrain.data.sniff import HEAD_BYTES, check_content
from distrain.data.typed_tables import (
    canonical_table,
    check_same_columns,
    check_same_shapes,
    hash_part,
)
from distrain.errors import DataError, did_you_mean, first_line

# An archive that is no good, encrypted (RuntimeError), or packed in a way that Python cannot undo.
_FAULTS: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def read_npz_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    for piece in unit.pieces:
        with open_file(piece.file.uri) as source:
            log.add(piece, *hash_part(source, piece))
        with _opened(piece.file, reading.arrays) as arrays:
            _check_columns([form for _, form in arrays], piece.file, reading)
            num_rows = arrays[0][1].num_rows
            at_once = min(form.rows_at_once for _, form in arrays)
            forms = [replace(form, max_rows=at_once) for _, form in arrays]
            blocks = [
                blocks_of(stream, form, 0, num_rows)
                for (stream, _), form in zip(arrays, forms, strict=True)
            ]
            for side_by_side in zip(*blocks, strict=True):
                columns: dict[str, pa.ChunkedArray] = {}
                for form, block in zip(forms, side_by_side, strict=True):
                    table = array_table(form, block)
                    columns |= zip(table.column_names, table.columns, strict=True)
                table = canonical_table(
                    pa.table({name: columns[name] for name in reading.wanted}), piece.file.uri
                )
                log.count_rows(piece, table.num_rows)
                yield table


def open_npz(listing: Listing, reading: Reading) -> OpenedSource:
    """Return .npz files opened, by the headers of their arrays.

    Raises:
        DataError: an array is not there, or has other rows than the others.
    """
    rows = 0
    opened: list[list[ArrayForm]] = []
    for file in listing.files:
        with _opened(file, reading.arrays) as arrays:
            opened.append([form for _, form in arrays])
            rows += opened[-1][0].num_rows
    columns = tuple(name for form in opened[0] for name in form.columns)
    check_names_once(columns, listing.files[0].uri)
    shapes = {name: shape for form in opened[0] for name, shape in form.image_shapes.items()}
    reading = replace(reading, columns=columns, wanted=columns, image_shapes=shapes)
    return OpenedSource(listing, reading, rows, True, pa.table({}))


@contextmanager
def _opened(
    file: SourceFile, chosen: Mapping[str, str]
) -> Iterator[list[tuple[Source, ArrayForm]]]:
    """Give the arrays of a file, each at its first item, with its form."""
    with ExitStack() as stack:
        source = stack.enter_context(open_file(file.uri))
        check_content(file, source.read(HEAD_BYTES), "npz")
        source.seek(0)
        try:
            archive = stack.enter_context(zipfile.ZipFile(source))
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
            arrays: list[tuple[Source, ArrayForm]] = []
            for column, name in _named(chosen, members, file).items():
                stream = stack.enter_context(archive.open(members[name]))
                names = ColumnNames(column, column, column)
                form = array_form(stream, f"{file.uri}, array {name!r}", names)
                _check_size(form, members[name].file_size)
                arrays.append((stream, form))
            _check_rows([form for _, form in arrays])
            yield arrays
        except _FAULTS as fault:
            raise DataError(
                f"this is no whole .npz file ({first_line(fault)})",
                where=file.uri,
                expected="what numpy.savez writes",
                mend="Save it again, or name another file.",
            ) from fault


def _named(
    chosen: Mapping[str, str], members: Mapping[str, zipfile.ZipInfo], file: SourceFile
) -> Mapping[str, str]:
    absent = [name for name in chosen.values() if name not in members]
    if absent or not members:
        raise DataError(
            f"there is no array {absent[0]!r}" if absent else "there are no arrays",
            where=f"data.read.arrays, in {file.uri}" if absent else file.uri,
            expected="arrays of the file",
            mend=did_you_mean(absent[0], members, listed="It has")
            if absent
            else "Save it again, or name another file.",
        )
    return chosen or {name: name for name in members}


def _check_size(form: ArrayForm, num_bytes: int) -> None:
    if form.start + form.num_bytes != num_bytes:
        raise DataError(
            f"the array has {num_bytes:,} bytes",
            where=form.uri,
            expected=f"{form.start + form.num_bytes:,}, as its header says: {form.shape} of "
            f"{form.dtype}",
            mend="Save it again.",
        )


def _check_rows(forms: list[ArrayForm]) -> None:
    other = next((form for form in forms if form.num_rows != forms[0].num_rows), None)
    if other is not None:
        raise DataError(
            f"the array has {other.num_rows:,} rows",
            where=other.uri,
            expected=f"{forms[0].num_rows:,}, as {forms[0].uri.rpartition(', ')[2]} has",
            mend="Name the arrays that belong together, e.g. data.read.arrays: {image: x_train, "
            "label: y_train}.",
        )


def _check_columns(forms: list[ArrayForm], file: SourceFile, reading: Reading) -> None:
    columns = [name for form in forms for name in form.columns]
    check_same_columns(columns, file.uri, reading)
    shapes = {name: shape for form in forms for name, shape in form.image_shapes.items()}
    check_same_shapes(shapes, file.uri, reading)
