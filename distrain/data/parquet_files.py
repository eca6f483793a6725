"""Units of Parquet files as tables: small files whole, large ones by row groups."""

import hashlib
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from distrain.data.columns import canonical, type_name
from distrain.data.files import SourceFile, open_file
from distrain.data.reading import FileLog, Piece, Reading, Unit
from distrain.data.sniff import check_content
from distrain.errors import DataError, did_you_mean

_BATCH_ROWS: Final = 65_536
_READ_BYTES: Final = 4 * 2**20


def read_parquet_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    for piece in unit.pieces:
        with open_file(piece.file.uri) as source:
            check_content(piece.file, source.read(16), reading.format)
            log.add(piece, *hash_part(source, piece))
            source.seek(0)
            file = _opened(source, piece.file.uri)
            _check_schema(file.schema_arrow, piece.file.uri, reading)
            groups = range(piece.start, piece.stop or file.num_row_groups)
            batches = file.iter_batches(
                batch_size=_BATCH_ROWS,
                row_groups=list(groups),
                columns=list(reading.wanted),
                use_threads=False,
            )
            for batch in batches:
                table = _canonical_table(pa.table(batch).select(reading.wanted), piece.file.uri)
                log.count_rows(piece, table.num_rows)
                yield table


def schema_and_rows(file: SourceFile) -> tuple[pa.Schema, int]:
    """Return the schema and the number of rows of a Parquet file, from its footer.

    Raises:
        DataError: it is no Parquet file, or damaged.
    """
    with open_file(file.uri) as source:
        check_content(file, source.read(16), "parquet")
        source.seek(0)
        opened = _opened(source, file.uri)
        return opened.schema_arrow, opened.metadata.num_rows


def row_group_bytes(uri: str) -> list[int]:
    """Return the size of each row group when decoded."""
    with open_file(uri) as source:
        metadata = _opened(source, uri).metadata
        return [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]


def _opened(source: pa.NativeFile, uri: str) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(source)
    except (pa.ArrowInvalid, OSError) as fault:
        raise DataError(
            f"this is no whole Parquet file ({str(fault).splitlines()[0][:200]})",
            where=uri,
            expected="a Parquet file",
            mend="Write it again, or name another file.",
        ) from fault


def hash_part(source: pa.NativeFile, piece: Piece) -> tuple[str, int]:
    """Return the SHA-256 of a piece's share of its file's bytes, and how many these are.

    The pieces share them evenly among themselves, whatever row groups each reads.

    Args:
        source: the file, opened for reading at any position.
        piece: which share.
    """
    size = piece.file.num_bytes
    start, stop = (size * end // piece.count for end in (piece.number, piece.number + 1))
    content = hashlib.sha256()
    source.seek(start)
    left = stop - start
    while left > 0 and (data := source.read(min(left, _READ_BYTES))):
        content.update(data)
        left -= len(data)
    return content.hexdigest(), stop - start


def _check_schema(schema: pa.Schema, uri: str, reading: Reading) -> None:
    absent = [name for name in reading.columns if name not in schema.names]
    if absent:
        raise DataError(
            f"the file lacks {', '.join(map(repr, absent[:8]))}",
            where=uri,
            expected="the columns of the first file of the source",
            mend=did_you_mean(absent[0], schema.names, listed="It has"),
        )


def _canonical_table(table: pa.Table, uri: str) -> pa.Table:
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if type_name(_value_type(column.type)) is None:
            raise DataError(
                f"columns of type {column.type} cannot be read",
                where=f"{uri}, column {name!r}",
                expected="numbers, text, truth values, dates, times or images (lists of uint8 of "
                "one length)",
                mend=f"Leave it out with data.features: {{{name}: drop}}, or convert it.",
            )
        columns[name] = canonical(column)
    return pa.table(columns)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
