"""The making of a prepared dataset: the passes that fit and write, and what is told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from distrain.data.clean import Bounds, outlier_bounds, repeated_rows
from distrain.data.dividing import row_plan
from distrain.data.features import Transform
from distrain.data.findings import (
    Finding,
    capped_targets,
    class_imbalance,
    duplicates,
    leaked_rows,
    missing_targets,
    missing_values,
    outliers,
    rows_across_splits,
    similar_classes,
    skewed,
    streamed,
    time_split,
    unread_columns,
    unused_labels,
)
from distrain.data.fit import FitTask, KeyTask, RunFit, combine_fits, fit_transform
from distrain.data.manifest import describe_columns, describe_shards
from distrain.data.on_ray import each_run
from distrain.data.recipe import Recipe, check_units, window_rows
from distrain.data.row_sample import joined_samples, rows_of_a_run
from distrain.data.rowkeys import RunKeys
from distrain.data.rows import RowPlan
from distrain.data.runs import RUN_ROWS, RunKey
from distrain.data.sample_findings import leaking_columns, shifted_columns
from distrain.data.shards import (
    KEYS_FILE,
    PROBE_FILE,
    PROBE_ROWS,
    SHARD_FOLDER,
    SPLITS,
    SmallFile,
    shard_in_memory,
    training_columns,
    write_small,
)
from distrain.data.split import TRAIN
from distrain.data.survey import Survey
from distrain.data.tensor_keys import kept_keys, one_key_in
from distrain.data.write import RunWritten, WriteTask, written
from distrain.errors import DataError

# So many row keys at most are brought to the driver; of a larger source, those of one row in so
# many, which are the same ones for equal rows.
MAX_KEYS: Final = 2**24
MAX_TASK_BYTES: Final = 2**33
"""Of the features of a run's rows, float32, which are made at once."""
# Numbers that stand for a column, over all runs, for its median; at least so many from each run.
_SAMPLE_SIZE: Final = RUN_ROWS
_LEAST_SAMPLE: Final = 64


def _check_width(transform: Transform, num_rows: int) -> None:
    """Refuse features of which a task could not hold those of its rows."""
    width = len(transform.feature_names)
    num_bytes = 4 * width * num_rows
    if num_bytes > MAX_TASK_BYTES:
        raise DataError(
            f"{width:,} features of {num_rows:,} rows take {num_bytes:,} bytes in one task",
            where="data.features",
            expected=f"at most {MAX_TASK_BYTES:,}",
            mend="Give columns fewer places: max_words for text, max_categories for categories.",
        )


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
        transform = fit_transform(task, fit, columns.ids, source.types)
        _check_width(transform, max(scan.num_rows for scan in source.scans))
        num_features = len(transform.feature_names)
        write = WriteTask(
            task.rows,
            transform,
            data.weight,
            str(self._folder),
            source.places,
            bounds,
            data.ingest == "stream",
            one_key_in(sum(fit.split_rows[TRAIN] for fit in fits)),
            rows_of_a_run(num_features, len(source.scans)),
        )
        by_run = dict(each_run(source.runs, write, RunWritten))
        runs = list(by_run.values())
        findings += outliers(runs, data.clean.outliers)
        stream: dict[str, Any] = {}
        if write.streams:
            stream["stream"] = self._recipe(task.rows, by_run).kept().to_json()
            small = [run.assigned for run in runs if run.assigned is not None]
            small += [self._write_probe(runs), self._write_keys(runs, write.one_in)]
            stream["small_files"] = [asdict(file) for file in small]
            findings.append(streamed(by_run.values(), len(source.opened.listing.files)))
        if test is not None:
            rows = replace(task.rows, split=None)
            write_test = replace(
                write,
                rows=rows,
                places=test.places,
                bounds={},
                sample_rows=rows_of_a_run(num_features, len(test.scans)),
            )
            runs += [result for _, result in each_run(test.runs, write_test, RunWritten)]
        findings += _found_in_sample(transform, runs)
        return {
            **head,
            **describe_shards(runs),
            "transform": transform.to_json(),
            "sources": [*source.files(), *(test.files() if test else [])],
            "profile": describe_columns(columns, source.columns, fit),
            "profile_order": list(source.columns),  # the keys of a manifest are sorted
            "findings": [finding.to_json() for finding in findings],
            **stream,
        }

    def _write_probe(self, runs: Sequence[RunWritten]) -> SmallFile:
        """Write the first training rows, which a run is tried with before it begins."""
        parts = [run.probe for run in runs if run.probe][:PROBE_ROWS]
        rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        first = {name: values[:PROBE_ROWS] for name, values in rows.items()}
        content = shard_in_memory(PROBE_FILE, first)[1].to_pybytes()
        return written(str(self._folder), write_small, PROBE_FILE, content)

    def _write_keys(self, runs: Sequence[RunWritten], one_in: int) -> SmallFile:
        """Write the keys of the training rows, by which it is told later what a model has seen.

        Before them stands of one row in how many they are.
        """
        keys = kept_keys(np.concatenate([run.keys for run in runs]), one_in)
        content = np.r_[np.uint64(one_in), keys].astype("<u8").tobytes()
        return written(str(self._folder), write_small, KEYS_FILE, content)

    def _recipe(self, rows: RowPlan, written: Mapping[RunKey, RunWritten]) -> Recipe:
        """Return what makes the training shards again."""
        source = self._source
        training = {
            key: run.shards[SPLITS[TRAIN]]
            for key, run in written.items()
            if SPLITS[TRAIN] in run.shards
        }
        check_units(source.units, list(training), list(training.values()))
        columns = next(written[key].columns for key in training)
        return Recipe(
            reading=source.reading,
            units=source.units,
            runs=tuple(training),
            types=source.types,
            weight=self._data.weight,
            clip=rows.bounds if rows.clips else {},
            window_rows=window_rows(training_columns(columns)),
            num_by_class=tuple(
                map(sum, zip(*(written[key].num_by_class for key in training), strict=True))
            ),
        )

    def _fit(self) -> tuple[FitTask, list[RunFit]]:
        """Return the statistics of the training rows of each run, and what they are of."""
        data, source, columns = self._data, self._source, self._columns
        names = tuple(plan.name for plan in columns.features)
        shapes = source.opened.reading.image_shapes
        rows = row_plan(data, source, self._target, names)
        if data.clean.deduplicate:
            keys = dict(each_run(source.runs, KeyTask(rows, names), RunKeys))
            rows = replace(rows, repeated=repeated_rows(keys))
        task = FitTask(
            rows,
            columns.features,
            next((shapes[name] for name in names if name in shapes), None),
            max(_SAMPLE_SIZE // len(source.scans), _LEAST_SAMPLE),
            names,
            self._one_in(),
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

    def _described(self) -> list[str]:
        """Return the columns that are features or ids, where nothing says what they are."""
        names = [*(plan.name for plan in self._columns.features), *self._columns.ids]
        said = self._data.features
        return [name for name in names if name not in said or said[name].kind is None]

    def _one_in(self) -> int:
        num_rows = self._source.num_rows + (self._test.num_rows if self._test else 0)
        return -(-num_rows // MAX_KEYS)

    def _find(self, task: FitTask, fits: Sequence[RunFit]) -> list[Finding]:
        """Return what a user should know about the data, apart from what the writing shows."""
        source, test, target = self._source, self._test, self._target
        unlabelled = source.num_rows - source.num_labelled
        keys = [fit.keys for fit in fits]
        combined = combine_fits(fits)
        dropped = self._data.clean.deduplicate
        repeats = list(duplicates(keys, one_in=task.one_in, dropped=dropped))
        name = target.names[0]
        values = {*(source.counts[name] or ()), *((test.counts[name] or ()) if test else ())}
        found = [
            *self._columns.findings,
            *missing_values(source.columns, task.keyed),
            *unread_columns(source.columns, source.rows_of_files, self._described()),
            *missing_targets(unlabelled, target.names, "data.source"),
            *unused_labels(target.labels, name, values),
            *class_imbalance(target),
            *similar_classes(target),
            *time_split(task.rows),
            *capped_targets(target, combined.targets),
            *skewed(task.columns, combined.numbers),
            *repeats,
            *(rows_across_splits(fits, task.one_in) if repeats else ()),
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


def _found_in_sample(transform: Transform, runs: Sequence[RunWritten]) -> list[Finding]:
    """Return what a few rows of all runs show, those of the test source among them."""
    sample = joined_samples([run.sample for run in runs if run.sample is not None])
    if sample is None:
        return []
    return [*leaking_columns(transform, sample), *shifted_columns(transform, sample)]
