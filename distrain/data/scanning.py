"""The first pass: a source read run by run, its column types settled, its content hashed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from distrain.data.column_scan import ColumnScan, combine_scans, resolve_type
from distrain.data.columns import NUMBER_TYPES
from distrain.data.content import joined_hash
from distrain.data.on_ray import Runs, each_run, fits_in_object_store, read_units
from distrain.data.opened import OpenedSource
from distrain.data.profile import (
    RunScan,
    ScanTask,
    combine_counts,
)
from distrain.data.reading import CannotCut, PieceRead, Reading, Unit
from distrain.data.runs import RunKey
from distrain.data.target import row_text, shortened
from distrain.data.units import cut_into_units
from distrain.errors import DataError
from distrain.redaction import without_credentials


@final
@dataclass(frozen=True)
class ScannedSource:
    """A source that was read once.

    Args:
        opened: the source.
        reading: how its units are read, as it turned out.
        units: what is read in one go.
        runs: its runs, for further passes; kept in memory where they fit, else read again.
        scans: what each run holds, in order.
        types: each column's type.
        columns: what each column holds over all runs.
        counts: rows by value of the counted columns; None for too many values.
    """

    opened: OpenedSource
    reading: Reading
    units: tuple[Unit, ...]
    runs: Runs
    scans: tuple[RunScan, ...]
    types: dict[str, str]
    columns: dict[str, ColumnScan]
    counts: dict[str, dict[str, int] | None]

    @property
    def num_rows(self) -> int:
        """Return the number of rows."""
        return sum(scan.num_rows for scan in self.scans)

    @property
    def num_labelled(self) -> int:
        """Return the number of rows with a target."""
        return sum(scan.num_labelled for scan in self.scans)

    @property
    def places(self) -> dict[RunKey, int]:
        """Return each run's place in the source."""
        return {scan.key: place for place, scan in enumerate(self.scans)}

    @property
    def rows_of_files(self) -> dict[str, int]:
        """Return how many rows each file has, in order, by its URI as a manifest has it."""
        return {file["uri"]: file["num_rows"] for file in self.files()}

    def files(self) -> list[dict[str, Any]]:
        """Return each file with its size, rows and SHA-256, as the manifest lists them.

        The hash of a file that was read in several pieces is that over the hashes of the pieces.
        A URI is kept without the credentials in it.
        """
        pieces: dict[int, list[PieceRead]] = {}
        for scan in self.scans:
            for piece in scan.pieces:
                pieces.setdefault(piece.file_number, []).append(piece)
        return [
            {
                "uri": without_credentials(file.uri),
                "num_bytes": file.num_bytes,
                "num_rows": sum(piece.num_rows for piece in pieces[number]),
                "sha256": joined_hash([piece.sha256 for piece in pieces[number]]),
            }
            for number, file in enumerate(self.opened.listing.files)
        ]


def on_cluster(units: Sequence[Unit], reading: Reading) -> Runs:
    """Return the runs of units as Ray's tasks read them, kept in memory where they fit."""
    runs = read_units(units, reading)
    return runs.materialize() if fits_in_object_store(units) else runs


def scan_source(
    opened: OpenedSource,
    wanted: tuple[str, ...],
    counted: Sequence[str],
    targets: Sequence[str],
    types: dict[str, str] | None = None,
    read: Callable[[Sequence[Unit], Reading], Runs] = on_cluster,
) -> ScannedSource:
    """Read a source and return what it holds. Call within `on_ray.data_context`.

    Text files are read a second time if a column holds numbers here and text there.

    Args:
        opened: the source.
        wanted: the columns that are read.
        counted: columns whose values are counted one by one.
        targets: rows with all of these are labelled.
        types: column types that are settled already, for a test source.
        read: gives the runs of units.
    """
    reading = replace(opened.reading, wanted=wanted)
    if types is not None:
        reading = replace(reading, column_types=types)
    units, runs, scans = _read_and_scan(
        opened, reading, ScanTask(types or {}, counted, targets, reading.text), read
    )
    if types is None:
        types = {
            name: resolve_type([scan.columns[name] for scan in scans if scan.num_rows])
            for name in wanted
        }
        texts = _disputed(scans, types)
        settled = ScanTask(types, counted, targets, reading.text)
        if texts and reading.format in ("csv", "tsv", "json", "jsonl"):
            reading = replace(reading, column_types=dict.fromkeys(texts, "string"))
            units, runs, scans = _read_and_scan(opened, reading, settled, read)
        elif texts or _differs(scans, types):
            scans = [scan for _, scan in each_run(runs, settled, RunScan)]
    filled = _filled(scans)
    source = ScannedSource(
        opened,
        reading,
        units,
        runs,
        tuple(scans),
        types,
        {name: combine_scans([scan.columns[name] for scan in filled]) for name in wanted},
        {name: combine_counts(scan.counts[name] for scan in filled) for name in counted},
    )
    _check_types(source)
    return source


def _check_types(source: ScannedSource) -> None:
    """Refuse text where the types that are settled say numbers."""
    for name, scan in source.columns.items():
        if scan.no_number is not None and source.types[name] in NUMBER_TYPES:
            value, row = scan.no_number
            raise DataError(
                f"{shortened(value)!r} is not a number",
                where=f"column {name!r}, {row_text(row, source.rows_of_files)}",
                expected="a number, as in data.source",
                mend="Correct the value; or name it under data.read.na_values if it means "
                "'missing', or make the column categorical under data.features.",
            )


def _read_and_scan(
    opened: OpenedSource,
    reading: Reading,
    task: ScanTask,
    read: Callable[[Sequence[Unit], Reading], Runs],
) -> tuple[tuple[Unit, ...], Runs, list[RunScan]]:
    def scanned(*, may_split: bool) -> tuple[tuple[Unit, ...], Runs, list[RunScan]]:
        units = cut_into_units(opened.listing, reading, may_split=may_split)
        runs = read(units, reading)
        return tuple(units), runs, [scan for _, scan in each_run(runs, task, RunScan)]

    try:
        return scanned(may_split=True)
    except CannotCut:
        return scanned(may_split=False)


def _disputed(scans: Sequence[RunScan], types: dict[str, str]) -> list[str]:
    """Return the columns that are text in the end and were read as something else in some run."""
    return [
        name
        for name, kind in types.items()
        if kind == "string"
        and any(scan.columns[name].type not in ("string", "null") for scan in _filled(scans))
    ]


def _differs(scans: Sequence[RunScan], types: dict[str, str]) -> bool:
    """Return whether text in some run turned out to be numbers."""
    return any(
        scan.columns[name].type == "string" != kind
        for name, kind in types.items()
        for scan in _filled(scans)
    )


def _filled(scans: Sequence[RunScan]) -> list[RunScan]:
    return [scan for scan in scans if scan.num_rows]
