"""How the rows of a scanned source are divided: the plan that every pass over its runs follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np

from distrain.config.data import DataSettings
from distrain.config.defaults import effective_test_fraction
from distrain.data.columns import NUMBER_TYPES, TIME_TYPES, TextRules, as_float64
from distrain.data.features import label_text
from distrain.data.on_ray import each_run
from distrain.data.rows import RowPlan
from distrain.data.runs import RUN_ROWS, Run, RunKey
from distrain.data.scanning import ScannedSource
from distrain.data.split import first_times, plan_split
from distrain.data.statistics import NumberStatistics, combine_numbers
from distrain.data.target import TargetPlan, row_text
from distrain.errors import DataError

# Times that stand for those of a run, at least.
_LEAST_SAMPLE: Final = 64


def row_plan(
    data: DataSettings, source: ScannedSource, target: TargetPlan, features: Sequence[str] = ()
) -> RowPlan:
    """Return which rows of a source are for training, validation and test.

    Args:
        data: the configuration.
        source: the source, scanned.
        target: what is predicted.
        features: columns in which training rows must have values, where it is asked for that.
    """
    usual = "stratified" if target.task == "classification" else "random"
    kind = data.split.kind or usual
    split = plan_split(
        kind,
        (data.split.validation, effective_test_fraction(data)),
        data.split.seed,
        _class_counts(source, target, is_stratified=kind == "stratified"),
    )
    if kind == "time":
        begins = _first_times(data, source, target)
        split = replace(split, begins=begins)
    return RowPlan(
        target,
        split,
        data.split.column,
        source.types,
        source.opened.reading.text,
        required=tuple(features) if data.clean.missing == "drop" else (),
    )


@final
@dataclass(frozen=True)
class TimeTask:
    """Looks at the times of a run's labelled rows.

    Args:
        column: that of the times.
        target: what is predicted.
        types: column types.
        rules: how text is read.
        sample_size: how many times of a run stand for all.
    """

    column: str
    target: TargetPlan
    types: Mapping[str, str]
    rules: TextRules
    sample_size: int

    def __call__(self, run: Run) -> NumberStatistics:
        """Return the statistics of the times."""
        if not run.table.num_rows:
            return NumberStatistics.of(np.empty(0), 1)
        values = run.table.column(self.column)
        times = as_float64(values, self.column, self.types[self.column], self.rules)
        labelled = self.target.codes(run.table, self.rules) >= 0
        return NumberStatistics.of(times[labelled], self.sample_size)


def _first_times(
    data: DataSettings, source: ScannedSource, target: TargetPlan
) -> tuple[float, float]:
    """Return when validation and test begin; exact for up to 65,536 rows, else from a sample.

    Raises:
        DataError: the column is no time or number, or a row has none.
    """
    name = data.split.column
    assert name is not None, "the configuration's checks ask for a column"
    scan = source.columns[name]
    if scan.type not in (*NUMBER_TYPES, *TIME_TYPES) or scan.num_missing or scan.num_infinite:
        holds = f"holds {scan.type}" if not scan.num_missing else "is empty in some rows"
        holds = "is infinite in some rows" if scan.num_infinite else holds
        value, row = scan.no_number or ("", 0)
        shown = f", such as {value!r} in {row_text(row, source.rows_of_files)}" if value else ""
        raise DataError(
            f"the split column {holds}{shown}",
            where=f"data.split.column, {name!r}",
            expected="a time, a date or a number in every row",
            mend="Write times as 2024-01-31 or 2024-01-31 12:00:00, or use another split.",
        )
    size = max(RUN_ROWS // len(source.scans), _LEAST_SAMPLE)
    task = TimeTask(name, target, source.types, source.opened.reading.text, size)
    seen = combine_numbers([s for _, s in each_run(source.runs, task, NumberStatistics)])
    times = np.concatenate([part for part, _ in seen.samples])
    weights = np.repeat([each for _, each in seen.samples], [len(part) for part, _ in seen.samples])
    order = np.argsort(times, kind="stable")
    fractions = (data.split.validation, effective_test_fraction(data))
    return first_times(times[order], weights[order], fractions)


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
