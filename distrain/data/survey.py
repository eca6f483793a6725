"""The survey of a source: read once, and what is predicted from which columns settled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from distrain.config.data import DataSettings, FeatureSettings
from distrain.data.calendar_parts import CYCLES
from distrain.data.checking import target_wish, wanted_columns
from distrain.data.column_scan import ColumnScan
from distrain.data.image_files import NAMED_FORMATS, named_by_place
from distrain.data.kinds import Columns, plan_columns, target_names
from distrain.data.on_ray import Runs
from distrain.data.opened import OpenedSource
from distrain.data.reading import Reading, Unit
from distrain.data.scanning import ScannedSource, on_cluster, scan_source
from distrain.data.split import SPLIT_WORDS, TEST, check_words
from distrain.data.target import TargetPlan, plan_target, row_text, shortened
from distrain.errors import DataError


@final
@dataclass(frozen=True)
class Survey:
    """What a source holds and what is made of it.

    Args:
        data: the configuration.
        source: the source, scanned.
        test: the test source, scanned.
        target: what is predicted.
        columns: what each column is.
    """

    data: DataSettings
    source: ScannedSource
    test: ScannedSource | None
    target: TargetPlan
    columns: Columns

    def content(self) -> list[list[str]]:
        """Return what all files hold, by hashes and names; with the recipe it makes the digest."""
        return [_content(source) for source in (self.source, self.test) if source is not None]

    def files(self) -> list[dict[str, Any]]:
        """Return each file of both sources with its size, rows and SHA-256."""
        return [*self.source.files(), *(self.test.files() if self.test else [])]


def survey(
    data: DataSettings,
    opened: OpenedSource,
    opened_test: OpenedSource | None,
    read: Callable[[Sequence[Unit], Reading], Runs] = on_cluster,
) -> Survey:
    """Read the source and the test source once. Call within `on_ray.data_context`.

    Args:
        data: the configuration.
        opened: the source, checked.
        opened_test: the test source, likewise.
        read: gives the runs of units.

    Raises:
        DataError: a file is at fault, or the data is not fit to learn from.
    """
    targets = target_names(data)
    fixed = data.split.column if data.split.kind == "fixed" else None
    counted = [*targets[:1], *([fixed] if fixed is not None else [])]
    wanted = wanted_columns(data, opened.reading.columns)
    source = scan_source(opened, wanted, counted, targets, read=read)
    if fixed is not None:
        _check_fixed(fixed, source.counts[fixed] or {}, has_test=opened_test is not None)
    target = plan_target(
        target_wish(data), source.columns, source.counts[targets[0]], source.rows_of_files
    )
    _check_weight(data.weight, source.columns)
    columns = plan_columns(_with_file_as_id(data, opened), source.columns)
    _check_image(columns, opened)
    _check_numeric(columns, source)
    test = None
    if opened_test is not None:
        used = {plan.name for plan in columns.features} | {*targets, data.weight}
        needed = tuple(name for name in wanted if name in used)
        test = scan_source(opened_test, needed, targets[:1], targets, source.types, read)
        _check_weight(data.weight, test.columns)
    return Survey(data, source, test, target, columns)


def _content(source: ScannedSource) -> list[str]:
    """Return the hash of each file; where files are examples, their names are in the rows, too."""
    hashes = [str(file["sha256"]) for file in source.files()]
    listing = source.opened.listing
    if listing.format not in NAMED_FORMATS:
        return hashes
    places = named_by_place(listing.files)["file"].to_pylist()
    return [f"{sha256} {place}" for sha256, place in zip(hashes, places, strict=True)]


def _with_file_as_id(data: DataSettings, opened: OpenedSource) -> DataSettings:
    """Return settings in which a file's name is an id: its folder would give its class away."""
    is_named = opened.listing.format in NAMED_FORMATS and "file" in opened.reading.columns
    if not is_named or "file" in data.features:
        return data
    features = {**data.features, "file": FeatureSettings(kind="id")}
    return data.model_copy(update={"features": features})


def _check_image(columns: Columns, source: OpenedSource) -> None:
    image = next((plan for plan in columns.features if plan.kind == "image"), None)
    shapes = source.reading.image_shapes
    if image is not None and (image.type != "image" or image.name not in shapes):
        raise DataError(
            f"images are not read from {source.listing.format}",
            where=f"column {image.name!r}",
            expected="files that say the images' height and width: images, idx, npy, npz, or the "
            "bytes of image files in parquet and arrow",
            mend="Convert them, or drop the column under data.features.",
        )


def _check_numeric(columns: Columns, source: ScannedSource) -> None:
    """Refuse text in a column that `data.features` says is numeric, or no times in a calendar."""
    for plan in columns.features:
        found = source.columns[plan.name].no_number
        if plan.kind == "calendar" and plan.type not in CYCLES:
            value, row = found or (plan.type, 0)
            raise DataError(
                f"the column holds {plan.type}"
                + (f", such as {shortened(value)!r}" if found is not None else ""),
                where=f"column {plan.name!r}"
                + (f", {row_text(row, source.rows_of_files)}" if found is not None else ""),
                expected=f"dates or times, as data.features.{plan.name} says",
                mend="Write them as 2024-01-31 or 2024-01-31 12:00:00, or say another kind.",
            )
        if plan.kind == "numeric" and plan.type == "string" and found is not None:
            value, row = found
            raise DataError(
                f"{shortened(value)!r} is not a number",
                where=f"column {plan.name!r}, {row_text(row, source.rows_of_files)}",
                expected=f"numbers, as data.features.{plan.name} says",
                mend="Correct the value; or name it under data.read.na_values if it means "
                "'missing', or say categorical.",
            )


def _check_fixed(column: str, counts: Mapping[str, int], *, has_test: bool) -> None:
    check_words(list(counts), column)
    for_test = [word for word in counts if SPLIT_WORDS[word.strip().casefold()] == TEST]
    if has_test and for_test:
        raise DataError(
            f"{counts[for_test[0]]:,} rows are marked {for_test[0]!r}, beside a data.test_source",
            where=f"column {column!r}",
            expected="one test split",
            mend="Leave data.test_source out, or mark these rows train or validation.",
        )


def _check_weight(name: str | None, columns: Mapping[str, ColumnScan]) -> None:
    if name is None:
        return
    scan = columns[name]
    if scan.type == "string" or scan.num_missing or scan.num_infinite or scan.low < 0:
        what = (
            "is text"
            if scan.type == "string"
            else f"has {scan.num_missing:,} rows without a value"
            if scan.num_missing
            else f"is infinite in {scan.num_infinite:,} rows"
            if scan.num_infinite
            else f"is negative (down to {scan.low:g})"
        )
    elif scan.high == 0:
        what = "is zero in every row"
    else:
        return
    raise DataError(
        f"the weight {what}",
        where=f"column {name!r}",
        expected="a number of at least 0 in every row, above 0 in some",
        mend="Correct these rows, or leave data.weight out.",
    )
