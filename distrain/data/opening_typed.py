"""Files opened whose format names columns and types: Parquet, Arrow, IDX, what is built in."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa

from distrain.data.arrow_files import arrow_batches, arrow_schema_and_rows
from distrain.data.builtin import IMAGE_SHAPES, load_built_in
from distrain.data.files import Listing, SourceFile
from distrain.data.idx_files import COLUMNS as IDX_COLUMNS
from distrain.data.idx_files import idx_headers
from distrain.data.images import encoded_values, image_shape, is_encoded
from distrain.data.opened import OpenedSource, check_names_once
from distrain.data.parquet_files import first_values, schema_and_rows
from distrain.data.reading import Reading, Shape

# Footers of so many files are read for the number of rows; further files are estimated.
_COUNTED_FILES: Final = 16

_First = Callable[[SourceFile, str], Iterator[pa.Array]]


def open_parquet(listing: Listing, reading: Reading) -> OpenedSource:
    """Return Parquet files opened, by their footers."""
    return _open_typed(listing, reading, (schema_and_rows, first_values))


def open_arrow(listing: Listing, reading: Reading) -> OpenedSource:
    """Return Arrow IPC files opened, by their footers; streams have none, and are read through."""
    return _open_typed(listing, reading, (arrow_schema_and_rows, arrow_batches))


def open_idx(listing: Listing, reading: Reading) -> OpenedSource:
    """Return a pair of IDX files opened, by their headers."""
    images, _ = idx_headers(listing)
    height, width = images.shape
    shapes = {IDX_COLUMNS[0]: (1, height, width)}
    reading = replace(reading, columns=IDX_COLUMNS, wanted=IDX_COLUMNS, image_shapes=shapes)
    return OpenedSource(listing, reading, images.num_items, True, pa.table({}))


def open_built_in(listing: Listing, reading: Reading) -> OpenedSource:
    """Return a built-in data set opened."""
    name = listing.files[0].uri
    table, _ = load_built_in(name)
    columns = tuple(table.column_names)
    shape = IMAGE_SHAPES.get(name.rpartition(":")[2])
    shapes = {} if shape is None else {"image": shape}
    reading = replace(reading, columns=columns, wanted=columns, image_shapes=shapes)
    return OpenedSource(listing, reading, table.num_rows, True, table, True)


def _open_typed(
    listing: Listing,
    reading: Reading,
    how: tuple[Callable[[SourceFile], tuple[pa.Schema, int, bool]], _First],
) -> OpenedSource:
    schema_and_rows_of, first = how
    counted = listing.files[:_COUNTED_FILES]
    schemas, rows, exact = zip(*map(schema_and_rows_of, counted), strict=True)
    schema, names = schemas[0], tuple(schemas[0].names)
    check_names_once(names, listing.files[0].uri)
    is_complete = len(counted) == len(listing.files)
    share = sum(file.num_bytes for file in counted) / max(listing.num_bytes, 1)
    shapes = _image_shapes(counted[0], schema, reading, first)
    return OpenedSource(
        listing,
        replace(reading, columns=names, wanted=names, image_shapes=shapes),
        sum(rows) if is_complete else round(sum(rows) / share),
        is_complete and all(exact),
        schema.empty_table(),
    )


def _image_shapes(
    file: SourceFile, schema: pa.Schema, reading: Reading, first: _First
) -> dict[str, Shape]:
    """Return the shapes of the columns whose first value is an image file's content."""
    shapes = {}
    for name in (field.name for field in schema if is_encoded(field.type)):
        values = (encoded_values(part).drop_null() for part in first(file, name))
        content = next((part[0].as_py() for part in values if len(part)), None)
        shape = (
            None
            if content is None
            else image_shape(content, f"{file.uri}, column {name!r}", reading)
        )
        if shape is not None:
            shapes[name] = shape
    return shapes
