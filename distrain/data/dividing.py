"""How the rows of a scanned source are divided: the plan that every pass over its runs follows."""

from collections.abc import Sequence

from distrain.config.data import DataSettings
from distrain.config.defaults import effective_test_fraction
from distrain.data.features import label_text
from distrain.data.rows import RowPlan
from distrain.data.runs import RunKey
from distrain.data.scanning import ScannedSource
from distrain.data.split import plan_split
from distrain.data.target import TargetPlan


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
    return RowPlan(
        target,
        split,
        data.split.column,
        source.types,
        source.opened.reading.text,
        required=tuple(features) if data.clean.missing == "drop" else (),
    )


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
