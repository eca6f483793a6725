"""Tables of files whose format names the types, and the hash of such a file."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from distrain.data.columns import canonical, type_name
from distrain.data.images import decoded, encoded_values, is_encoded
from distrain.data.opened import check_names_once, listed
from distrain.data.reading import Piece, Reading, Shape
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
    """Raise a DataError if a file has other columns than the first one, in whatever order.

    Raises:
        DataError: the columns, with the nearest that are there.
    """
    check_same_columns(schema.names, uri, reading)


def check_same_columns(names: Sequence[str], uri: str, reading: Reading) -> None:
    """Raise a DataError if columns are not those of the first file, in whatever order.

    Raises:
        DataError: the columns, with the nearest that are there.
    """
    if len(set(names)) < len(names):
        check_names_once(names, uri)
    absent = [name for name in reading.columns if name not in names]
    extra = [name for name in names if name not in reading.columns]
    if not absent and not extra:
        return
    parts = []
    if absent:
        parts.append(f"lacks {listed(absent)}")
    if extra:
        parts.append(f"has {listed(extra)} besides")
    near = did_you_mean(absent[0], names, listed="It has") if absent else ""
    raise DataError(
        f"the file {' and '.join(parts)}",
        where=uri,
        expected="the columns of the first file of the source",
        mend=f"{near} Write the same columns to each, or name only the files that belong "
        "together.".strip(),
    )


def check_same_shapes(shapes: Mapping[str, Shape], uri: str, reading: Reading) -> None:
    """Raise a DataError if images are not of the shape of those in the first file.

    Raises:
        DataError: with both shapes.
    """
    for name, shape in shapes.items():
        if shape != reading.image_shapes[name]:
            raise DataError(
                f"the images have the shape {shape}",
                where=f"{uri}, column {name!r}",
                expected=f"{reading.image_shapes[name]}: channels, height and width, as in the "
                "first file of the source",
                mend="Bring the images to one shape.",
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
