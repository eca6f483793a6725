"""A source held against the configuration, by its beginning, before anything is started.

What is wrong is told here if a look at the beginning can show it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.config.data import DataSettings
from distrain.data.column_scan import resolve_type
from distrain.data.files import Listing
from distrain.data.image_files import NAMED_FORMATS
from distrain.data.kinds import source_of, target_names
from distrain.data.opened import OpenedSource, listed
from distrain.data.opening import open_source
from distrain.data.profile import ScanTask
from distrain.data.reading import Reading
from distrain.data.runs import Run
from distrain.data.split import check_words
from distrain.data.target import TargetPlan, TargetWish, plan_target
from distrain.data.typed_tables import canonical_table
from distrain.errors import DataError, did_you_mean


@final
@dataclass(frozen=True)
class SourceSummary:
    """What a dry run tells about a source.

    Args:
        columns: in order.
        num_rows: how many rows.
        is_exact: whether `num_rows` is exact, or estimated from the beginning.
        listings: the files of the source, and of the test source where there is one.
        num_test_rows: rows of the test source, 0 without one.
    """

    columns: tuple[str, ...]
    num_rows: int
    is_exact: bool
    listings: tuple[Listing, ...]
    num_test_rows: int = 0


def quick_check(data: DataSettings) -> SourceSummary:
    """Return what the beginnings of the source and the test source show.

    Raises:
        DataError: something is wrong with them that their beginnings show.
    """
    if data.dataset is not None:
        from distrain.data.own.found import look  # imports torch

        rows = {name: len(portion) for name, portion in look(data).portions.items()}
        apart = 0 if data.test_dataset is None else rows["test"]
        return SourceSummary((), sum(rows.values()) - apart, True, (), apart)
    source, test = open_checked(data)
    return SourceSummary(
        source.reading.columns,
        source.num_rows,
        source.is_exact,
        (source.listing, *([test.listing] if test is not None else [])),
        test.num_rows if test is not None else 0,
    )


def open_checked(data: DataSettings) -> tuple[OpenedSource, OpenedSource | None]:
    """Return the source and the test source opened, and compared with the configuration.

    Raises:
        DataError: something is wrong with them that their beginnings show.
    """
    source = open_source(source_of(data), data.format, data.read)
    check_settings(data, source)
    _check_types(data, source)
    target = check_sample(data, source)
    test = open_test_source(data, source)
    if test is not None and test.is_whole and target is not None:
        target.codes(test.sample, source.reading.text)
    return source, test


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
        besides = f", and has {listed(extra)} besides" if extra else ""
        raise DataError(
            f"the test source lacks {listed(absent)}{besides}",
            where=f"data.test_source = {test.listing.files[0].uri}",
            expected="the columns of data.source",
            mend=did_you_mean(absent[0], test.reading.columns, listed="It has"),
        )
    expected, found = (
        {name: shape for name, shape in each.reading.image_shapes.items() if name in needed}
        for each in (source, test)
    )
    if expected != found:
        raise DataError(
            f"the test images have the shape {', '.join(map(str, found.values()))}",
            where=f"data.test_source = {test.listing.files[0].uri}",
            expected=f"{', '.join(map(str, expected.values()))}, as in data.source",
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
                mend=did_you_mean(name, columns, listed="Columns")
                + _other_delimiter(columns)
                + _no_header(source.reading),
            )


def _check_types(data: DataSettings, source: OpenedSource) -> None:
    """Refuse columns of types that are not read, but for images, which have a shape."""
    wanted = set(wanted_columns(data, source.reading.columns)) - set(source.reading.image_shapes)
    names = [name for name in source.sample.column_names if name in wanted]
    canonical_table(source.sample.select(names), source.listing.files[0].uri)


def check_sample(data: DataSettings, source: OpenedSource) -> TargetPlan | None:
    """Return what is predicted if the first rows are all rows, else None.

    Raises:
        DataError: the target is not fit to learn from, or a split word says nothing.
    """
    if not source.is_whole:
        return None
    targets = target_names(data)
    _check_folders(source, targets)
    fixed = data.split.column if data.split.kind == "fixed" else None
    counted = [*targets[:1], *([fixed] if fixed else [])]
    sample = Run(0, 0, source.sample.select(list(dict.fromkeys([*targets, *counted]))))
    first = ScanTask({}, counted, targets, source.reading.text)(sample)
    types = {name: resolve_type([scan]) for name, scan in first.columns.items()}
    scan = ScanTask(types, counted, targets, source.reading.text)(sample)
    if fixed:
        check_words(list(scan.counts[fixed] or ()), fixed)
    rows_of_files = {file.uri: scan.num_rows for file in source.listing.files}
    return plan_target(target_wish(data), scan.columns, scan.counts[targets[0]], rows_of_files)


def _check_folders(source: OpenedSource, targets: Sequence[str]) -> None:
    """Refuse files that are examples, lie in one folder, and so have one class."""
    if source.listing.format not in NAMED_FORMATS or "label" not in targets:
        return
    if source.sample["label"].combine_chunks().unique().to_pylist()[1:]:
        return
    by_line = source.listing.format == "text"
    raise DataError(
        f"all {source.num_rows:,} files lie in one folder, so they have one class",
        where=source.listing.files[0].uri,
        expected="a folder for each class, with a file for each example",
        mend="Set data.read.example to line, if each file is a class and each line an example."
        if by_line
        else "Name the directory above it, or sort the files into folders.",
    )


def target_wish(data: DataSettings) -> TargetWish:
    """Return what the configuration says about the target."""
    return TargetWish(target_names(data), data.task, data.labels or {}, data.positive)


def wanted_columns(data: DataSettings, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are read: all that the configuration does not drop."""
    kept = {*target_names(data), data.weight, data.split.column}
    dropped = {name for name, feature in data.features.items() if feature.kind == "drop"} - kept
    return tuple(name for name in columns if name not in dropped)


def likely_delimiter(columns: Sequence[str]) -> str | None:
    """Return what a single odd column seems to be delimited by; None: it is not odd."""
    if len(columns) != 1:
        return None
    return next((sign for sign in (";", "\t", "|", ",") if sign in columns[0]), None)


def _no_header(reading: Reading) -> str:
    """Return the advice that the first row may hold values, where a number stands for a name."""
    is_header = reading.format in ("csv", "tsv") and not reading.has_given_names
    if not (is_header and reading.has_header and any(map(_is_number, reading.columns))):
        return ""
    return " If the first row is no header, set data.read.header to false and give data.read.names."


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _other_delimiter(columns: Sequence[str]) -> str:
    """Return the advice that the delimiter may be another, where there is a single odd column."""
    likely = likely_delimiter(columns)
    return f" Set data.read.delimiter to {likely!r}." if likely else ""
