"""The making of a prepared dataset: the passes that fit and write, and what is told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

from distrain.config.defaults import effective_test_fraction
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
    unused_labels,
)
from distrain.data.fit import FitTask, KeyTask, RunFit, combine_fits, fit_transform
from distrain.data.manifest import describe_columns, describe_shards
from distrain.data.on_ray import each_run
from distrain.data.rowkeys import RunKeys
from distrain.data.rows import RowPlan
from distrain.data.runs import RUN_ROWS, RunKey
from distrain.data.scanning import ScannedSource
from distrain.data.shards import SHARD_FOLDER
from distrain.data.split import plan_split
from distrain.data.survey import Survey
from distrain.data.target import TargetPlan
from distrain.data.write import RunWritten, WriteTask
from distrain.errors import DataError

# So many row keys at most are brought to the driver; of a larger source, those of one row in so
# many, which are the same ones for equal rows.
MAX_KEYS: Final = 2**24
# Numbers that stand for a column, over all runs, for its median; at least so many from each run.
_SAMPLE_SIZE: Final = RUN_ROWS
_LEAST_SAMPLE: Final = 64


@final
class Making:
    """One prepared dataset in the making. Use within `on_ray.data_context`.

    Args:
        survey: what the source holds and what is made of it.
        folder: where it is made, or the URI of that; every node must see it.
    """

    def __init__(self, survey: Survey, folder: Path | str) -> None:
        self._data = survey.data
        self._source = survey.source
        self._test = survey.test
        self._target = survey.target
        self._columns = survey.columns
        self._folder = folder

    def make(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """Fit, write the shards, and return the manifest, which makes them a dataset once written.

        Args:
            head: what the manifest says beside: digest and recipe.

        Raises:
            DataError: no row is left for training, or a shard cannot be written.
        """
        data, source, test, columns = self._data, self._source, self._test, self._columns
        if isinstance(self._folder, Path):
            (self._folder / SHARD_FOLDER).mkdir(parents=True)
        task, fits = self._fit()
        fit = combine_fits(fits)
        findings = self._find(task, fits)
        bounds = {**self._bounds(fit), **task.rows.bounds}
        write = WriteTask(
            task.rows,
            fit_transform(task, fit, columns.ids, source.types),
            data.weight,
            str(self._folder),
            source.places,
            bounds,
        )
        written = [result for _, result in each_run(source.runs, write, RunWritten)]
        findings += outliers(written, data.clean.outliers)
        if test is not None:
            rows = replace(task.rows, split=None)
            write_test = replace(write, rows=rows, places=test.places, bounds={})
            written += [result for _, result in each_run(test.runs, write_test, RunWritten)]
        return {
            **head,
            **describe_shards(written),
            "transform": write.transform.to_json(),
            "sources": [*source.files(), *(test.files() if test else [])],
            "profile": describe_columns(columns, source.columns, fit),
            "findings": [finding.to_json() for finding in findings],
        }

    def _fit(self) -> tuple[FitTask, list[RunFit]]:
        """Return the statistics of the training rows of each run, and what they are of."""
        data, source, columns = self._data, self._source, self._columns
        names = tuple(plan.name for plan in columns.features)
        rows = self._row_plan(names)
        if data.clean.deduplicate:
            keys = dict(each_run(source.runs, KeyTask(rows, names), RunKeys))
            rows = replace(rows, repeated=repeated_rows(keys))
        task = FitTask(
            rows,
            columns.features,
            source.opened.image_shape,
            max(_SAMPLE_SIZE // len(source.scans), _LEAST_SAMPLE),
            names,
            self._one_in(),
            self._test is not None,
        )
        fits = self._fit_once(task)
        if data.clean.outliers != "keep":
            bounds = self._bounds(combine_fits(fits))
            rows = replace(rows, bounds=bounds, clips=data.clean.outliers == "clip")
            task = replace(task, rows=rows)
            fits = self._fit_once(task)
        return task, fits

    def _fit_once(self, task: FitTask) -> list[RunFit]:
        fits = [fit for _, fit in each_run(self._source.runs, task, RunFit)]
        if not sum(fit.split_rows[0] for fit in fits):
            raise DataError(
                f"no row is left for training, of {self._source.num_rows:,}",
                where="data.split and data.clean",
                expected="at least one training row",
                mend="Add rows, make the other splits smaller, or clean less.",
            )
        return fits

    def _bounds(self, fit: RunFit) -> Bounds:
        """Return the bounds of outliers, of the columns in which some number is outside."""
        scans = self._source.columns
        numeric = {plan.name for plan in self._columns.features if plan.kind == "numeric"}
        training = {name: fit.numbers[name] for name in fit.numbers if name in numeric}
        return {
            name: (low, high)
            for name, (low, high) in outlier_bounds(training).items()
            if scans[name].low < low or scans[name].high > high
        }

    def _row_plan(self, features: Sequence[str]) -> RowPlan:
        data, source, target = self._data, self._source, self._target
        usual = "stratified" if target.task == "classification" else "random"
        kind = data.split.kind or usual
        split = plan_split(
            kind,
            (data.split.validation, effective_test_fraction(data)),
            data.split.seed,
            _class_counts(source, target, is_stratified=kind == "stratified"),
        )
        return RowPlan(
            target,
            split,
            data.split.column,
            source.types,
            source.opened.reading.text,
            required=tuple(features) if data.clean.missing == "drop" else (),
        )

    def _one_in(self) -> int:
        num_rows = self._source.num_rows + (self._test.num_rows if self._test else 0)
        return -(-num_rows // MAX_KEYS)

    def _find(self, task: FitTask, fits: Sequence[RunFit]) -> list[Finding]:
        """Return what a user should know about the data, apart from what the writing shows."""
        source, test, target = self._source, self._test, self._target
        unlabelled = source.num_rows - source.num_labelled
        keys = [fit.keys for fit in fits]
        name = target.names[0]
        values = {*(source.counts[name] or ()), *((test.counts[name] or ()) if test else ())}
        found = [
            *self._columns.findings,
            *missing_values(source.columns, task.keyed),
            *missing_targets(unlabelled, target.names, "data.source"),
            *unused_labels(target.labels, name, values),
            *class_imbalance(target),
            *capped_targets(target, combine_fits(fits).targets),
            *duplicates(keys, one_in=task.one_in, dropped=self._data.clean.deduplicate),
        ]
        if test is not None:
            key_task = KeyTask(replace(task.rows, split=None), task.keyed, task.one_in)
            test_keys = [found.keys for _, found in each_run(test.runs, key_task, RunKeys)]
            training_keys = [fit.training_keys for fit in fits]
            unlabelled = test.num_rows - test.num_labelled
            found += [
                *missing_targets(unlabelled, target.names, "data.test_source"),
                *leaked_rows(training_keys, test_keys, task.one_in),
            ]
        return found


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
