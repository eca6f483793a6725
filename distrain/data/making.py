"""The making of a prepared dataset: the passes over the source and what is planned between them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

from distrain.config.data import DataSettings
from distrain.data.clean import Bounds, outlier_bounds, repeated_rows
from distrain.data.features import label_text
from distrain.data.findings import (
    Finding,
    capped_targets,
    class_imbalance,
    duplicates,
    leaked_rows,
    missing_targets,
    missing_values,
    outliers,
)
from distrain.data.fit import FitTask, KeyTask, RunFit, combine_fits, fit_transform
from distrain.data.kinds import Columns, plan_columns, target_names
from distrain.data.manifest import describe_columns, describe_shards
from distrain.data.on_ray import data_context, each_run
from distrain.data.opening import OpenedSource, target_wish, wanted_columns
from distrain.data.profile import ColumnScan
from distrain.data.rows import RowPlan
from distrain.data.runs import RUN_ROWS, RunKey
from distrain.data.scanning import ScannedSource, scan_source
from distrain.data.shards import SHARD_FOLDER, write_manifest
from distrain.data.split import SPLIT_WORDS, TEST, check_words, plan_split
from distrain.data.target import TargetPlan, plan_target
from distrain.data.write import WriteTask
from distrain.errors import DataError

DEFAULT_TEST_FRACTION: Final = 0.1
# So many row keys at most are brought to the driver; of a larger source, those of one row in so
# many, which are the same ones for equal rows.
MAX_KEYS: Final = 2**24
# Numbers that stand for a column, over all runs, for its median; at least so many from each run.
_SAMPLE_SIZE: Final = RUN_ROWS
_LEAST_SAMPLE: Final = 64


@final
class Making:
    """One prepared dataset in the making: `scan`, then `make`, both within `context`.

    Args:
        data: the configuration.
        source: the source, opened and checked.
        test: the test source, likewise.
        folder: where it is made.
    """

    def __init__(
        self, data: DataSettings, source: OpenedSource, test: OpenedSource | None, folder: Path
    ) -> None:
        self._data = data
        self._opened = source
        self._opened_test = test
        self._folder = folder

    def context(self) -> AbstractContextManager[None]:
        """Return the context that Ray Data's passes run in."""
        return data_context()

    def scan(self) -> None:
        """Read the source and the test source once, and plan what is made of them.

        Raises:
            DataError: a file is at fault, or the data is not fit to learn from.
        """
        data = self._data
        targets = target_names(data)
        fixed = data.split.column if data.split.kind == "fixed" else None
        counted = [*targets[:1], *([fixed] if fixed is not None else [])]
        wanted = wanted_columns(data, self._opened.reading.columns)
        self._source = source = scan_source(self._opened, wanted, counted, targets)
        if fixed is not None:
            _check_fixed(fixed, source.counts[fixed] or {}, has_test=self._opened_test is not None)
        self._target = plan_target(target_wish(data), source.columns, source.counts[targets[0]])
        _check_weight(data.weight, source.columns)
        self._columns = plan_columns(data, source.columns)
        self._test = None
        if self._opened_test is not None:
            used = {plan.name for plan in self._columns.features} | {*targets, data.weight}
            needed = tuple(name for name in wanted if name in used)
            self._test = scan_source(self._opened_test, needed, targets[:1], targets, source.types)
            _check_weight(data.weight, self._test.columns)

    def content(self) -> list[list[str]]:
        """Return the hashes of all files, which with the recipe make the digest."""
        sources = [self._source, *([self._test] if self._test else [])]
        return [[file["sha256"] for file in source.files()] for source in sources]

    def make(self, head: Mapping[str, Any]) -> None:
        """Fit and write, the manifest last.

        Args:
            head: what the manifest says beside: digest and recipe.

        Raises:
            DataError: no row is left for training, or a shard cannot be written.
        """
        data, source, test, columns = self._data, self._source, self._test, self._columns
        (self._folder / SHARD_FOLDER).mkdir(parents=True)
        task, fits = self._fit(self._target, columns)
        fit = combine_fits(fits)
        findings = self._find(task, columns, fits)
        bounds = {**self._bounds(columns, fit), **task.rows.bounds}
        write = WriteTask(
            task.rows,
            fit_transform(task, fit, columns.ids, source.types),
            data.weight,
            str(self._folder),
            source.places,
            bounds,
        )
        written = [result for _, result in each_run(source.runs, write)]
        findings += outliers(written, data.clean.outliers)
        if test is not None:
            rows = replace(task.rows, split=None)
            write_test = replace(write, rows=rows, places=test.places, bounds={})
            written += [result for _, result in each_run(test.runs, write_test)]
        manifest = {
            **head,
            **describe_shards(written),
            "transform": write.transform.to_json(),
            "sources": [*source.files(), *(test.files() if test else [])],
            "profile": describe_columns(columns, source.columns, fit),
            "findings": [finding.to_json() for finding in findings],
        }
        write_manifest(self._folder, manifest)

    def _fit(self, target: TargetPlan, columns: Columns) -> tuple[FitTask, list[RunFit]]:
        """Return the statistics of the training rows of each run, and what they are of."""
        data, source = self._data, self._source
        names = tuple(plan.name for plan in columns.features)
        rows = self._row_plan(target, names)
        if data.clean.deduplicate:
            keys = dict(each_run(source.runs, KeyTask(rows, names)))
            rows = replace(rows, repeated=repeated_rows(keys))
        task = FitTask(
            rows,
            columns.features,
            self._opened.image_shape,
            max(_SAMPLE_SIZE // len(source.scans), _LEAST_SAMPLE),
            names,
            self._one_in(),
            self._test is not None,
        )
        fits = self._fit_once(task)
        if data.clean.outliers != "keep":
            bounds = self._bounds(columns, combine_fits(fits))
            rows = replace(rows, bounds=bounds, clips=data.clean.outliers == "clip")
            task = replace(task, rows=rows)
            fits = self._fit_once(task)
        return task, fits

    def _fit_once(self, task: FitTask) -> list[RunFit]:
        fits = [fit for _, fit in each_run(self._source.runs, task)]
        if not sum(fit.split_rows[0] for fit in fits):
            raise DataError(
                f"no row is left for training, of {self._source.num_rows:,}",
                where="data.split and data.clean",
                expected="at least one training row",
                mend="Add rows, make the other splits smaller, or clean less.",
            )
        return fits

    def _bounds(self, columns: Columns, fit: RunFit) -> Bounds:
        """Return the bounds of outliers, of the columns in which some number is outside."""
        scans = self._source.columns
        numeric = {plan.name for plan in columns.features if plan.kind == "numeric"}
        training = {name: fit.numbers[name] for name in fit.numbers if name in numeric}
        return {
            name: (low, high)
            for name, (low, high) in outlier_bounds(training).items()
            if scans[name].low < low or scans[name].high > high
        }

    def _row_plan(self, target: TargetPlan, features: Sequence[str]) -> RowPlan:
        data, source = self._data, self._source
        usual = "stratified" if target.task == "classification" else "random"
        kind = data.split.kind or usual
        split = plan_split(
            kind,
            (data.split.validation, _test_fraction(data)),
            data.split.seed,
            _class_counts(source, target, is_stratified=kind == "stratified"),
        )
        return RowPlan(
            target,
            split,
            data.split.column,
            source.types,
            self._opened.reading.text,
            required=tuple(features) if data.clean.missing == "drop" else (),
        )

    def _one_in(self) -> int:
        num_rows = self._source.num_rows + (self._test.num_rows if self._test else 0)
        return -(-num_rows // MAX_KEYS)

    def _find(self, task: FitTask, columns: Columns, fits: Sequence[RunFit]) -> list[Finding]:
        """Return what a user should know about the rows, apart from what the writing shows."""
        source, test, target = self._source, self._test, task.rows.target
        unlabelled = source.num_rows - source.num_labelled
        keys = [fit.keys for fit in fits]
        found = [
            *columns.findings,
            *missing_values(source.columns, task.keyed),
            *missing_targets(unlabelled, target.names, "data.source"),
            *class_imbalance(target),
            *capped_targets(target, combine_fits(fits).targets),
            *duplicates(keys, one_in=task.one_in, dropped=self._data.clean.deduplicate),
        ]
        if test is not None:
            key_task = KeyTask(replace(task.rows, split=None), task.keyed, task.one_in)
            test_keys = [keys for _, (keys, _) in each_run(test.runs, key_task)]
            training_keys = [fit.training_keys for fit in fits]
            unlabelled = test.num_rows - test.num_labelled
            found += [
                *missing_targets(unlabelled, target.names, "data.test_source"),
                *leaked_rows(training_keys, test_keys, task.one_in),
            ]
        return found


def _test_fraction(data: DataSettings) -> float:
    if data.split.test is not None:
        return data.split.test
    return DEFAULT_TEST_FRACTION if data.test_source is None else 0.0


def _class_counts(
    source: ScannedSource, target: TargetPlan, *, is_stratified: bool
) -> dict[RunKey, list[int]]:
    """Return the labelled rows of each run, by class where the split is stratified."""
    if not is_stratified:
        return {scan.key: [scan.num_labelled] for scan in source.scans}
    places = {label_text(label): place for place, label in enumerate(target.classes)}
    by_run = {}
    for scan in source.scans:
        counts = [0] * len(places)
        for value, number in (scan.counts.get(target.names[0]) or {}).items():
            counts[places[target.labels.get(value, value)]] += number
        by_run[scan.key] = counts
    return by_run


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
