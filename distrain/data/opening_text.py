"""Delimited text and JSON opened: names and types from the beginning of the first file."""

from dataclasses import replace
from typing import Final

import pyarrow as pa

from distrain.data.csv_files import names_in_file, read_head
from distrain.data.csv_text import CsvForm, parse, sniffed_delimiter
from distrain.data.files import Listing
from distrain.data.json_files import read_json_head
from distrain.data.json_text import parse_json
from distrain.data.opened import OpenedSource
from distrain.data.reading import Reading
from distrain.data.sources import has_known_ending
from distrain.errors import DataError

# So much of a text source is parsed before anything is started.
HEAD_BYTES: Final = 4 * 2**20


def open_csv(listing: Listing, reading: Reading) -> OpenedSource:
    """Return delimited text opened; its delimiter is settled here where no extension does."""
    file = next(file for file in listing.files if file.num_bytes)
    head, is_whole_file, stored_bytes = read_head(file, reading, HEAD_BYTES)
    _check_filled(head.text, file.uri)
    if not reading.delimiter:
        sign = "," if has_known_ending(file) else sniffed_delimiter(head.text, file.uri)
        reading = replace(reading, delimiter=sign)
    names = names_in_file(head, reading)
    reading = replace(reading, columns=names, wanted=names)
    form = CsvForm(names, names, reading.column_types, reading.text, reading.delimiter)
    sample = parse(head, form)
    return _with_sample(listing, reading, sample, (is_whole_file, stored_bytes))


def open_json(listing: Listing, reading: Reading) -> OpenedSource:
    """Return JSON opened, with the columns that its first records have."""
    file = next(file for file in listing.files if file.num_bytes)
    head, is_whole_file, stored_bytes = read_json_head(file, reading, HEAD_BYTES)
    _check_filled(head.text, file.uri)
    sample = parse_json(head, reading.column_types)
    if not sample.num_columns:
        raise DataError(
            "the records have no columns",
            where=file.uri,
            expected="an object with a value for each column, in each line",
            mend='Write each row as {"column": value, ...}.',
        )
    names = tuple(sample.column_names)
    reading = replace(reading, columns=names, wanted=names)
    return _with_sample(listing, reading, sample, (is_whole_file, stored_bytes))


def _check_filled(text: bytes, uri: str) -> None:
    if not text.strip():
        raise DataError(
            "the file holds nothing but white space",
            where=uri,
            expected="rows",
            mend="Write the data again, or name another file.",
        )


def _with_sample(
    listing: Listing, reading: Reading, sample: pa.Table, extent: tuple[bool, int]
) -> OpenedSource:
    """Return a source opened; `extent`: whether the sample is a whole file, of how many bytes."""
    is_whole_file, stored_bytes = extent
    is_whole = is_whole_file and len(listing.files) == 1
    num_rows = sample.num_rows
    if not is_whole and stored_bytes:
        num_rows = round(num_rows * max(listing.num_bytes / stored_bytes, 1.0))
    return OpenedSource(listing, reading, num_rows, is_whole, sample, is_whole)
