"""Tables of files whose format names the types, and the hash of such a file."""

import hashlib
from typing import Final

import pyarrow as pa

from distrain.data.columns import canonical, type_name
from distrain.data.images import decoded, encoded_values, is_encoded
from distrain.data.reading import Piece, Reading
from distrain.errors import DataError, did_you_mean

_READ_BYTES: Final = 4 * 2**20


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


def with_pixels(table: pa.Table, reading: Reading, uri: str, first_row: int) -> pa.Table:
    """Return a table whose columns of image files are pixels.

    Args:
        table: some rows of a file.
        reading: which columns hold images, and of which shape.
        uri: the file, for messages.
        first_row: how many rows of what is read of the file come before.

    Raises:
        DataError: an image cannot be decoded, or has another shape.
    """
    for name, shape in reading.image_shapes.items():
        if name not in table.column_names or not is_encoded(table.schema.field(name).type):
            continue
        contents = encoded_values(table.column(name)).to_pylist()
        places = [f"{uri}, column {name!r}, row {first_row + n}" for n in range(1, len(table) + 1)]
        pixels = decoded(contents, shape, reading, places.__getitem__)
        table = table.set_column(table.column_names.index(name), name, pixels)
    return table


def check_schema(schema: pa.Schema, uri: str, reading: Reading) -> None:
    """Raise a DataError if a file lacks columns that the first one has.

    Raises:
        DataError: the columns, with the nearest that are there.
    """
    absent = [name for name in reading.columns if name not in schema.names]
    if absent:
        raise DataError(
            f"the file lacks {', '.join(map(repr, absent[:8]))}",
            where=uri,
            expected="the columns of the first file of the source",
            mend=did_you_mean(absent[0], schema.names, listed="It has"),
        )


def canonical_table(table: pa.Table, uri: str) -> pa.Table:
    """Return a table in Arrow's types for column types.

    Raises:
        DataError: a column is of a type that has none.
    """
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if type_name(_value_type(column.type)) is None:
            raise DataError(
                f"columns of type {column.type} cannot be read",
                where=f"{uri}, column {name!r}",
                expected="numbers, text, truth values, dates, times or images (lists of uint8 of "
                "one length, or the bytes of image files)",
                mend=f"Leave it out with data.features: {{{name}: drop}}, or convert it.",
            )
        columns[name] = canonical(column)
    return pa.table(columns)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
