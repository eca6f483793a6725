"""A source opened: its files listed, its columns known, its first rows read. No Ray, in a moment.

What is wrong with a source is found here if a look at its beginning can show it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import pyarrow as pa

from distrain.config.data import DataSettings, ReadSettings, Source
from distrain.data.builtin import IMAGE_SHAPES, load_built_in
from distrain.data.column_scan import resolve_type
from distrain.data.columns import USUAL_MISSING_WORDS, TextRules
from distrain.data.csv_files import names_in_file, read_head
from distrain.data.csv_text import CsvForm, parse
from distrain.data.files import Listing
from distrain.data.files import reading as reading_files
from distrain.data.idx_files import COLUMNS as IDX_COLUMNS
from distrain.data.idx_files import idx_headers
from distrain.data.kinds import target_names
from distrain.data.parquet_files import schema_and_rows
from distrain.data.profile import ScanTask
from distrain.data.reading import Reading
from distrain.data.runs import Run
from distrain.data.sources import list_source
from distrain.data.split import check_words
from distrain.data.target import TargetPlan, TargetWish, plan_target
from distrain.errors import DataError, did_you_mean

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


@final
@dataclass(frozen=True)
class SourceSummary:
    """What a dry run tells about a source.

    Args:
        columns: in order.
        num_rows: how many rows.
        is_exact: whether `num_rows` is exact, or estimated from the beginning.
        num_bytes: of all files as stored.
        num_files: how many files.
        format: `csv`, `tsv`, `parquet`, `idx` or `built-in`.
        num_test_rows: rows of the test source, 0 without one.
    """

    columns: tuple[str, ...]
    num_rows: int
    is_exact: bool
    num_bytes: int
    num_files: int
    format: str
    num_test_rows: int = 0


def quick_check(data: DataSettings) -> SourceSummary:
    """Return what the beginnings of the source and the test source show.

    Raises:
        DataError: something is wrong with them that their beginnings show.
    """
    source, test = open_checked(data)
    return SourceSummary(
        source.reading.columns,
        source.num_rows,
        source.is_exact,
        source.listing.num_bytes,
        len(source.listing.files),
        source.listing.format,
        test.num_rows if test is not None else 0,
    )


def open_checked(data: DataSettings) -> tuple[OpenedSource, OpenedSource | None]:
    """Return the source and the test source opened, and compared with the configuration.

    Raises:
        DataError: something is wrong with them that their beginnings show.
    """
    source = open_source(data.source, data.format, data.read)
    check_settings(data, source)
    target = check_sample(data, source)
    test = open_test_source(data, source)
    if test is not None and test.is_whole and target is not None:
        target.codes(test.sample, source.reading.text)
    return source, test


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
    listing = list_source(source, format_)
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


def open_test_source(data: DataSettings, source: OpenedSource) -> OpenedSource | None:
    """Return the test source opened, None where there is none.

    Raises:
        DataError: it lacks columns of the source that are used.
    """
    if data.test_source is None:
        return None
    test = open_source(data.test_source, data.format, data.read, source.reading.column_types)
    needed = wanted_columns(data, source.reading.columns)
    absent = [name for name in needed if name not in test.reading.columns]
    extra = [name for name in test.reading.columns if name not in source.reading.columns]
    if absent:
        besides = f", and has {_listed(extra)} besides" if extra else ""
        raise DataError(
            f"the test source lacks {_listed(absent)}{besides}",
            where=f"data.test_source = {test.listing.files[0].uri}",
            expected="the columns of data.source",
            mend=did_you_mean(absent[0], test.reading.columns, listed="It has"),
        )
    if source.image_shape != test.image_shape:
        raise DataError(
            f"the test images have the shape {test.image_shape}",
            where=f"data.test_source = {test.listing.files[0].uri}",
            expected=f"{source.image_shape}, as in data.source",
            mend="Name the right files.",
        )
    return test


def check_settings(data: DataSettings, source: OpenedSource) -> None:
    """Raise a DataError if the configuration names a column that is not there.

    Raises:
        DataError: with the nearest names that are there.
    """
    columns = source.reading.columns
    named = {
        **dict.fromkeys(data.features, "data.features"),
        **({data.split.column: "data.split.column"} if data.split.column else {}),
        **({data.weight: "data.weight"} if data.weight else {}),
        **dict.fromkeys(target_names(data), "data.target"),
    }
    for name, key in reversed(named.items()):
        if name not in columns:
            raise DataError(
                f"there is no column {name!r}",
                where=f"{key}, in {source.listing.files[0].uri}",
                expected="a column of the source",
                mend=did_you_mean(name, columns, listed="Columns") + _other_delimiter(columns),
            )


def check_sample(data: DataSettings, source: OpenedSource) -> TargetPlan | None:
    """Return what is predicted if the first rows are all rows, else None.

    Raises:
        DataError: the target is not fit to learn from, or a split word says nothing.
    """
    if not source.is_whole:
        return None
    targets = target_names(data)
    fixed = data.split.column if data.split.kind == "fixed" else None
    counted = [*targets[:1], *([fixed] if fixed else [])]
    first = ScanTask({}, counted, targets, source.reading.text)(Run(0, 0, source.sample))
    types = {name: resolve_type([scan]) for name, scan in first.columns.items()}
    scan = ScanTask(types, counted, targets, source.reading.text)(Run(0, 0, source.sample))
    if fixed:
        check_words(list(scan.counts[fixed] or ()), fixed)
    rows_of_files = {file.uri: scan.num_rows for file in source.listing.files}
    return plan_target(target_wish(data), scan.columns, scan.counts[targets[0]], rows_of_files)


def target_wish(data: DataSettings) -> TargetWish:
    """Return what the configuration says about the target."""
    return TargetWish(target_names(data), data.task, data.labels or {}, data.positive)


def wanted_columns(data: DataSettings, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are read: all that the configuration does not drop."""
    kept = {*target_names(data), data.weight, data.split.column}
    dropped = {name for name, feature in data.features.items() if feature.kind == "drop"} - kept
    return tuple(name for name in columns if name not in dropped)


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
            f"columns stand there more than once: {_listed(twice)}",
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


def _other_delimiter(columns: Sequence[str]) -> str:
    """Return the advice that the delimiter may be another, where there is a single odd column."""
    if len(columns) != 1:
        return ""
    likely = next((sign for sign in (";", "\t", "|", ",") if sign in columns[0]), None)
    return f" Set data.read.delimiter to {likely!r}." if likely else ""


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
