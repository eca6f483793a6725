"""A source opened: its files listed, its columns known, its first rows read. No Ray needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import pyarrow as pa

from distrain.config.data import ReadSettings, Source
from distrain.data.builtin import IMAGE_SHAPES, load_built_in
from distrain.data.columns import USUAL_MISSING_WORDS, TextRules
from distrain.data.csv_files import names_in_file, read_head
from distrain.data.csv_text import CsvForm, parse
from distrain.data.files import Listing
from distrain.data.files import reading as reading_files
from distrain.data.idx_files import COLUMNS as IDX_COLUMNS
from distrain.data.idx_files import idx_headers
from distrain.data.parquet_files import schema_and_rows
from distrain.data.reading import Reading
from distrain.data.sources import list_source
from distrain.errors import DataError

# So much of a text source is parsed before anything is started.
HEAD_BYTES: Final = 4 * 2**20
# Footers of so many Parquet files are read for the number of rows; further files are estimated.
_COUNTED_FILES: Final = 16


@final
@dataclass(frozen=True)
class OpenedSource:
    """A source whose columns are known.

    Args:
        listing: its files.
        reading: how they are read; all columns are wanted.
        num_rows: how many rows it has.
        is_exact: whether that is exact, or estimated from the beginning.
        sample: its first rows; for formats whose files name their types it has no rows.
        is_whole: whether `sample` is all of it.
        image_shape: channels, height and width, for images.
    """

    listing: Listing
    reading: Reading
    num_rows: int
    is_exact: bool
    sample: pa.Table
    is_whole: bool = False
    image_shape: tuple[int, int, int] | None = None


def open_source(
    source: Source,
    format_: str | None,
    read: ReadSettings,
    column_types: Mapping[str, str] | None = None,
) -> OpenedSource:
    """Return a source opened.

    Args:
        source: as under `data.source`.
        format_: as under `data.format`.
        read: as under `data.read`.
        column_types: types that are known already.

    Raises:
        DataError: it is not there, cannot be read, or has no rows.
    """
    return open_listed(list_source(source, format_), read, column_types)


def open_listed(
    listing: Listing, read: ReadSettings, column_types: Mapping[str, str] | None = None
) -> OpenedSource:
    """Return a source opened whose files are listed already; else as `open_source`."""
    open_listing = {"parquet": _open_parquet, "idx": _open_idx, "built-in": _open_built_in}.get(
        listing.format, _open_text
    )
    with reading_files(listing.files):
        opened = open_listing(listing, _reading(listing.format, read, column_types or {}))
    if opened.is_exact and not opened.num_rows:
        raise DataError(
            "there are columns but no rows",
            where=listing.files[0].uri,
            expected="at least one row",
            mend="Write the data again, or name another source.",
        )
    return opened


def _reading(format_: str, read: ReadSettings, column_types: Mapping[str, str]) -> Reading:
    if format_ not in ("csv", "tsv"):
        return Reading(format_, (), (), dict(column_types))
    words = USUAL_MISSING_WORDS if read.na_values is None else ("", *map(str, read.na_values))
    return Reading(
        format_,
        tuple(read.names or ()),
        (),
        dict(column_types),
        TextRules(read.strip, tuple(dict.fromkeys(words))),
        read.encoding,
        read.delimiter or {"csv": ",", "tsv": "\t"}[format_],
        read.header,
        read.names is not None,
    )


def _open_text(listing: Listing, reading: Reading) -> OpenedSource:
    file = next(file for file in listing.files if file.num_bytes)
    head, is_whole_file, stored_bytes = read_head(file, reading, HEAD_BYTES)
    if not head.text.strip():
        raise DataError(
            "the file holds nothing but white space",
            where=file.uri,
            expected="rows",
            mend="Write the data again, or name another file.",
        )
    names = names_in_file(head, reading)
    reading = replace(reading, columns=names, wanted=names)
    form = CsvForm(names, names, reading.column_types, reading.text, reading.delimiter)
    sample = parse(head, form)
    is_whole = is_whole_file and len(listing.files) == 1
    num_rows = sample.num_rows
    if not is_whole and stored_bytes:
        num_rows = round(num_rows * max(listing.num_bytes / stored_bytes, 1.0))
    return OpenedSource(listing, reading, num_rows, is_whole, sample, is_whole)


def _open_parquet(listing: Listing, reading: Reading) -> OpenedSource:
    counted = listing.files[:_COUNTED_FILES]
    schemas, rows = zip(*map(schema_and_rows, counted), strict=True)
    names = tuple(schemas[0].names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"columns stand there more than once: {listed(twice)}",
            where=listing.files[0].uri,
            expected="a different name for each column",
            mend="Write the file again with other names.",
        )
    is_exact = len(counted) == len(listing.files)
    share = sum(file.num_bytes for file in counted) / max(listing.num_bytes, 1)
    return OpenedSource(
        listing,
        replace(reading, columns=names, wanted=names),
        sum(rows) if is_exact else round(sum(rows) / share),
        is_exact,
        schemas[0].empty_table(),
    )


def _open_idx(listing: Listing, reading: Reading) -> OpenedSource:
    images, _ = idx_headers(listing)
    height, width = images.shape
    return OpenedSource(
        listing,
        replace(reading, columns=IDX_COLUMNS, wanted=IDX_COLUMNS),
        images.num_items,
        True,
        pa.table({}),
        image_shape=(1, height, width),
    )


def _open_built_in(listing: Listing, reading: Reading) -> OpenedSource:
    name = listing.files[0].uri
    table, _ = load_built_in(name)
    columns = tuple(table.column_names)
    return OpenedSource(
        listing,
        replace(reading, columns=columns, wanted=columns),
        table.num_rows,
        True,
        table,
        True,
        IMAGE_SHAPES.get(name.rpartition(":")[2]),
    )


def listed(names: Sequence[Any]) -> str:
    """Return names for a sentence, the first eight of them."""
    shown = ", ".join(map(repr, names[:8]))
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
