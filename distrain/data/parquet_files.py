"""Units of Parquet files as tables: small files whole, large ones by row groups."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from distrain.data.files import SourceFile, open_file
from distrain.data.reading import FileLog, Reading, Unit
from distrain.data.sniff import HEAD_BYTES, check_content
from distrain.data.typed_tables import canonical_table, check_schema, hash_part, with_pixels
from distrain.errors import DataError

_BATCH_ROWS: Final = 65_536
_IMAGE_ROWS: Final = 1_024


def read_parquet_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    for piece in unit.pieces:
        with open_file(piece.file.uri) as source:
            check_content(piece.file, source.read(HEAD_BYTES), reading.format)
            log.add(piece, *hash_part(source, piece))
            source.seek(0)
            file = _opened(source, piece.file.uri)
            check_schema(file.schema_arrow, piece.file.uri, reading)
            groups = range(piece.start, piece.stop or file.num_row_groups)
            batches = file.iter_batches(
                batch_size=_IMAGE_ROWS if reading.image_shapes else _BATCH_ROWS,
                row_groups=list(groups),
                columns=list(reading.wanted),
                use_threads=False,
            )
            row = 0
            for batch in batches:
                chosen = pa.table(batch).select(reading.wanted)
                chosen = with_pixels(chosen, reading, piece.file.uri, row)
                table = canonical_table(chosen, piece.file.uri)
                row += table.num_rows
                log.count_rows(piece, table.num_rows)
                yield table


def schema_and_rows(file: SourceFile) -> tuple[pa.Schema, int, bool]:
    """Return the schema and the number of rows of a Parquet file, which is exact, by its footer.

    Raises:
        DataError: it is no Parquet file, or damaged.
    """
    with open_file(file.uri) as source:
        check_content(file, source.read(HEAD_BYTES), "parquet")
        source.seek(0)
        opened = _opened(source, file.uri)
        return opened.schema_arrow, opened.metadata.num_rows, True


def first_values(file: SourceFile, column: str) -> Iterator[pa.Array]:
    """Yield a column's values, a few at a time, from the beginning."""
    with open_file(file.uri) as source:
        batches = _opened(source, file.uri).iter_batches(
            batch_size=_IMAGE_ROWS, columns=[column], use_threads=False
        )
        yield from (batch.column(0) for batch in batches)


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
