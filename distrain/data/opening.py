"""A source opened: its files listed, its columns known, its first rows read. No Ray needed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from distrain.config.data import ReadSettings, Source
from distrain.data.columns import USUAL_MISSING_WORDS, TextRules
from distrain.data.files import Listing
from distrain.data.files import reading as reading_files
from distrain.data.image_files import open_images
from distrain.data.npz_files import open_npz
from distrain.data.numpy_files import open_npy
from distrain.data.opened import OpenedSource
from distrain.data.opening_text import open_csv, open_json
from distrain.data.opening_typed import open_arrow, open_built_in, open_idx, open_parquet
from distrain.data.reading import Reading
from distrain.data.sources import list_source
from distrain.data.text_examples import open_text
from distrain.errors import DataError


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
    with reading_files(listing.files):
        opened = _OPEN[listing.format](listing, _reading(listing.format, read, column_types or {}))
    if opened.is_exact and not opened.num_rows:
        raise DataError(
            "there are columns but no rows",
            where=listing.files[0].uri,
            expected="at least one row",
            mend="Write the data again, or name another source.",
        )
    return opened


def _reading(format_: str, read: ReadSettings, column_types: Mapping[str, str]) -> Reading:
    reading = Reading(format_, (), (), dict(column_types), encoding=read.encoding)
    if format_ in ("csv", "tsv"):
        words = USUAL_MISSING_WORDS if read.na_values is None else ("", *map(str, read.na_values))
        return replace(
            reading,
            columns=tuple(read.names or ()),
            text=TextRules(read.strip, tuple(dict.fromkeys(words))),
            delimiter=read.delimiter or {"csv": "", "tsv": "\t"}[format_],
            has_header=read.header,
            has_given_names=read.names is not None,
        )
    has_names = format_ == "npy" and read.names is not None
    return replace(
        reading,
        columns=tuple(read.names or ()) if has_names else (),
        has_given_names=has_names,
        arrays=dict(read.arrays or {}),
        is_by_line=read.example == "line",
        image_size=_height_and_width(read.size),
        image_channels=read.channels,
    )


def _height_and_width(size: int | list[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


_OPEN: Final[Mapping[str, Callable[[Listing, Reading], OpenedSource]]] = {
    "csv": open_csv,
    "tsv": open_csv,
    "json": open_json,
    "jsonl": open_json,
    "parquet": open_parquet,
    "arrow": open_arrow,
    "npy": open_npy,
    "npz": open_npz,
    "images": open_images,
    "text": open_text,
    "idx": open_idx,
    "built-in": open_built_in,
}
