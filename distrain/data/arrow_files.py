"""Units of Arrow IPC files and streams (also Feather) as tables: by record batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pyarrow as pa

from distrain.data.files import SourceFile, current_file, open_file
from distrain.data.opened import check_names_once
from distrain.data.reading import FileLog, Reading, Unit
from distrain.data.sniff import HEAD_BYTES, check_content
from distrain.data.typed_tables import canonical_table, check_schema, hash_part, with_pixels
from distrain.errors import DataError, first_line

_FILE_MAGIC: Final = b"ARROW1"
_ESTIMATED_FROM: Final = 16 * 2**20


def read_arrow_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    for piece in unit.pieces:
        uri, row = piece.file.uri, 0
        with _opened(piece.file) as (source, batches):
            log.add(piece, *hash_part(source, piece))
            check_schema(batches.schema, uri, reading)
            for batch in batches.from_to(piece.start, piece.stop):
                table = pa.table(batch.select(list(reading.wanted)))
                yield canonical_table(with_pixels(table, reading, uri, row), uri)
                log.count_rows(piece, batch.num_rows)
                row += batch.num_rows


def arrow_schema_and_rows(file: SourceFile) -> tuple[pa.Schema, int, bool]:
    """Return the schema of an Arrow IPC file, its number of rows, and whether that is exact.

    A stream does not say how many rows it has: they are estimated from its first batches.

    Raises:
        DataError: it is no such file, damaged, or has a column twice.
    """
    with _opened(file) as (source, batches):
        check_names_once(batches.schema.names, file.uri)
        if batches.can_seek:
            from pyarrow.dataset import IpcFileFormat  # loads an engine of queries

            return batches.schema, IpcFileFormat().make_fragment(source).count_rows(), True
        num_rows = num_bytes = 0
        for batch in batches.from_to(0, None):
            num_rows, num_bytes = num_rows + batch.num_rows, num_bytes + batch.nbytes
            if num_bytes >= _ESTIMATED_FROM:
                return batches.schema, round(num_rows * file.num_bytes / num_bytes), False
        return batches.schema, num_rows, True


def batch_bytes(uri: str) -> list[int]:
    """Return about the size of each record batch; of a stream, which must be read whole, of all."""
    file = current_file(uri)
    with _opened(file) as (_, batches):
        count = batches.count if batches.can_seek else 1
    return [file.num_bytes // count] * count


def arrow_batches(file: SourceFile, column: str) -> Iterator[pa.Array]:
    """Yield a column's values, batch by batch."""
    with _opened(file) as (_, batches):
        for batch in batches.from_to(0, None):
            yield batch.column(column)


class _Batches:
    """The record batches of a file, or of a stream, which is read from its beginning."""

    def __init__(self, source: pa.NativeFile, *, can_seek: bool) -> None:
        self.can_seek = can_seek
        self._reader = pa.ipc.open_file(source) if can_seek else pa.ipc.open_stream(source)
        self.schema: pa.Schema = self._reader.schema

    @property
    def count(self) -> int:
        """Return how many there are, at least 1; of a file alone."""
        return max(1, int(self._reader.num_record_batches))

    def from_to(self, start: int, stop: int | None) -> Iterator[pa.RecordBatch]:
        """Yield the batches of a range, each checked: what a file says of itself may be wrong."""
        if self.can_seek:
            last = self._reader.num_record_batches if stop is None else stop
            batches = map(self._reader.get_batch, range(start, last))
        else:
            batches = iter(self._reader)
        for batch in batches:
            batch.validate(full=True)
            yield batch


@contextmanager
def _opened(file: SourceFile) -> Iterator[tuple[pa.NativeFile, _Batches]]:
    with open_file(file.uri) as source:
        head = source.read(HEAD_BYTES)
        check_content(file, head, "arrow")
        source.seek(0)
        try:
            # The batches keep their place in the source for themselves.
            with open_file(file.uri) as content:
                yield source, _Batches(content, can_seek=head.startswith(_FILE_MAGIC))
        except (pa.ArrowInvalid, OSError) as fault:
            raise DataError(
                f"this is no whole Arrow file ({first_line(fault)[:200]})",
                where=file.uri,
                expected="an Arrow IPC file or stream",
                mend="Write it again, or name another file.",
            ) from fault
