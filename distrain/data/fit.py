"""From training rows to the fitted transform: statistics of each run, then of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
import pyarrow as pa

from distrain.data.bag_of_words import TextFeature, texts_with_words
from distrain.data.calendar_parts import CalendarFeature
from distrain.data.column_plan import ColumnPlan
from distrain.data.columns import as_float64, as_text, plain
from distrain.data.encoders import CategoricalFeature, Feature, NumericFeature, signed_log
from distrain.data.features import Transform, pixels_of
from distrain.data.rowkeys import Keys, RunKeys
from distrain.data.rows import RowPlan
from distrain.data.runs import Run
from distrain.data.split import TEST, TRAIN, UNUSED, VALIDATION, Assignment
from distrain.data.statistics import (
    CategoryStatistics,
    NumberStatistics,
    PixelStatistics,
    combine_categories,
    combine_numbers,
    combine_pixels,
    most_frequent,
)

IMAGE_SCALE: Final = 255.0
# Below this share of its mean a deviation is rounding error; it would blow noise up.
_LEAST_DEVIATION: Final = 1e-12

Shape = tuple[int, int, int]


def _no_keys() -> Keys:
    return np.empty(0, dtype=np.uint64)


@final
@dataclass
class RunFit:
    """Statistics of the training rows of one run, and keys of its rows.

    Args:
        split_rows: rows for training, validation and test.
        numbers: of numeric columns.
        logs: of those with scale log, after the logarithm.
        categories: of categorical columns.
        pixels: of the image.
        targets: of each regression target.
        keys: keys of the rows that were looked at.
        words: of text columns: rows by the words they have.
        key_splits: the split of each of these rows.
    """

    split_rows: tuple[int, int, int]
    numbers: dict[str, NumberStatistics] = field(default_factory=dict)
    logs: dict[str, NumberStatistics] = field(default_factory=dict)
    categories: dict[str, CategoryStatistics] = field(default_factory=dict)
    pixels: PixelStatistics | None = None
    targets: tuple[NumberStatistics, ...] = ()
    keys: Keys = field(default_factory=_no_keys)
    words: dict[str, CategoryStatistics] = field(default_factory=dict)
    key_splits: Assignment = field(default_factory=lambda: np.empty(0, dtype=np.int8))

    @property
    def training_keys(self) -> Keys:
        """Return the keys of the rows that are for training, of those that were looked at."""
        keys: Keys = self.keys[self.key_splits == TRAIN]
        return keys


@final
@dataclass(frozen=True)
class FitTask:
    """Computes the statistics of a run's training rows.

    Args:
        rows: which rows are for what.
        columns: the feature columns.
        image_shape: of an image column.
        sample_size: how many numbers of a run stand for all, for the median.
        keyed: columns that row keys are made of; empty: no keys are wanted.
        one_in: row keys are kept of one row in so many.
    """

    rows: RowPlan
    columns: tuple[ColumnPlan, ...]
    image_shape: Shape | None
    sample_size: int
    keyed: tuple[str, ...] = ()
    one_in: int = 1

    def __call__(self, run: Run) -> RunFit:
        """Return the statistics of a run."""
        table, split = self.rows.divide(run)
        counts = np.bincount(split, minlength=UNUSED + 1)
        fit = RunFit((int(counts[TRAIN]), int(counts[VALIDATION]), int(counts[TEST])))
        if not table.num_rows:
            return fit
        if self.keyed:
            self._add_keys(fit, run.table, split)
        training = table.filter(pa.array(split == TRAIN))
        for plan in self.columns:
            self._add_column(fit, plan, plain(training.column(plan.name)))
        target = self.rows.target
        if target.task == "regression":
            fit.targets = tuple(self._numbers(training, name) for name in target.names)
        return fit

    def _add_column(self, fit: RunFit, plan: ColumnPlan, column: pa.Array) -> None:
        rules = self.rows.rules
        if plan.kind == "image":
            assert self.image_shape is not None, "an image column comes with its shape"
            images = pixels_of(column, plan.name).reshape(-1, *self.image_shape)
            fit.pixels = PixelStatistics.of(images)
        elif plan.kind == "categorical":
            text = as_text(column, plan.name, plan.type, rules)
            fit.categories[plan.name] = CategoryStatistics.of(text, plan.max_categories)
        elif plan.kind == "text":
            text = as_text(column, plan.name, plan.type, rules)
            counts = texts_with_words(text, plan.words.ngrams)
            fit.words[plan.name] = CategoryStatistics.most(
                counts, text.null_count, plan.words.max_words
            )
        else:
            numbers = as_float64(column, plan.name, plan.type, rules)
            fit.numbers[plan.name] = NumberStatistics.of(numbers, self.sample_size)
            if plan.scale == "log":
                fit.logs[plan.name] = NumberStatistics.of(signed_log(numbers), 1)

    def _numbers(self, training: pa.Table, name: str) -> NumberStatistics:
        kind = self.rows.target.types[name]
        numbers = as_float64(training.column(name), name, kind, self.rows.rules)
        return NumberStatistics.of(numbers, self.sample_size)

    def _add_keys(self, fit: RunFit, table: pa.Table, split: Assignment) -> None:
        keys = self.rows.keys(table, self.keyed)
        looked_at = keys % np.uint64(self.one_in) == 0
        fit.keys, fit.key_splits = keys[looked_at], split[looked_at]


@final
@dataclass(frozen=True)
class KeyTask:
    """Computes the keys of a run's rows, by their features and target.

    Args:
        rows: which rows are for what.
        keyed: the columns that count, beside the target.
        one_in: keys are kept of one row in so many.
    """

    rows: RowPlan
    keyed: tuple[str, ...]
    one_in: int = 1

    def __call__(self, run: Run) -> RunKeys:
        """Return the keys, and which of the rows are for training."""
        table, split = self.rows.divide(run)
        if not table.num_rows:
            return RunKeys(_no_keys(), np.empty(0, dtype=np.bool_))
        keys = self.rows.keys(table, self.keyed)
        looked_at = keys % np.uint64(self.one_in) == 0
        return RunKeys(keys[looked_at], (split == TRAIN)[looked_at])


def combine_fits(fits: Sequence[RunFit]) -> RunFit:
    """Return the statistics of all runs together, given in their order; keys are left out."""
    filled = [fit for fit in fits if fit.split_rows[TRAIN]]
    pixels = [fit.pixels for fit in filled if fit.pixels is not None]
    first = filled[0]
    return RunFit(
        (
            sum(fit.split_rows[0] for fit in fits),
            sum(fit.split_rows[1] for fit in fits),
            sum(fit.split_rows[2] for fit in fits),
        ),
        {name: combine_numbers([fit.numbers[name] for fit in filled]) for name in first.numbers},
        {name: combine_numbers([fit.logs[name] for fit in filled]) for name in first.logs},
        {
            name: combine_categories([fit.categories[name] for fit in filled])
            for name in first.categories
        },
        combine_pixels(pixels) if pixels else None,
        tuple(
            combine_numbers([fit.targets[place] for fit in filled])
            for place in range(len(first.targets))
        ),
        words={
            name: combine_categories([fit.words[name] for fit in filled]) for name in first.words
        },
    )


def fit_transform(
    task: FitTask, fit: RunFit, ids: Sequence[str], types: Mapping[str, str]
) -> Transform:
    """Return the transform for the combined statistics of the training rows.

    Args:
        task: what they were computed by.
        fit: the statistics.
        ids: columns that are passed through.
        types: types of all columns that are read.
    """
    target = task.rows.target
    image = None
    if fit.pixels is not None:
        mean, std = fit.pixels.mean_and_deviation(IMAGE_SCALE)
        image = {
            "column": next(plan.name for plan in task.columns if plan.kind == "image"),
            "shape": list(task.image_shape or ()),
            "mean": mean,
            "std": [_spread(deviation, 0.0) for deviation in std],
            "scale": IMAGE_SCALE,
        }
    return Transform(
        task=target.task,
        targets=list(target.names),
        classes=list(target.classes),
        positive=target.positive,
        labels=dict(target.labels),
        target_mean=[numbers.mean for numbers in fit.targets],
        target_std=[_spread(numbers.deviation, numbers.mean) for numbers in fit.targets],
        features=tuple(_feature(plan, fit) for plan in task.columns if plan.kind != "image"),
        image=image,
        id_columns=list(ids),
        column_types=dict(types),
        text=task.rows.rules,
    )


def _feature(plan: ColumnPlan, fit: RunFit) -> Feature:
    if plan.kind == "categorical":
        seen = fit.categories[plan.name]
        values = most_frequent(seen.counts, plan.max_categories)
        known = tuple(value for value, _ in values)
        return CategoricalFeature(plan.name, plan.type, known, seen.num_missing > 0)
    if plan.kind == "text":
        found = most_frequent(fit.words[plan.name].counts, plan.words.max_words)
        weights = plan.words.weights([count for _, count in found], fit.split_rows[TRAIN])
        known = tuple(word for word, _ in found)
        return TextFeature(plan.name, plan.type, known, weights, plan.words.ngrams)
    numbers = fit.numbers[plan.name]
    if plan.kind == "calendar":
        center, spread = _center_and_spread("standard", numbers, None)
        fill, has_missing = _fill(plan.missing, numbers), numbers.num_missing > 0
        return CalendarFeature(plan.name, plan.type, fill, center, spread, has_missing)
    scale = "none" if plan.kind == "boolean" else plan.scale
    center, spread = _center_and_spread(scale, numbers, fit.logs.get(plan.name))
    return NumericFeature(
        plan.name,
        plan.type,
        _fill(plan.missing, numbers),
        center,
        spread,
        log=scale == "log",
        indicator=numbers.num_missing > 0,
    )


def _center_and_spread(
    scale: str, numbers: NumberStatistics, logs: NumberStatistics | None
) -> tuple[float, float]:
    if scale == "none" or not numbers.count:
        return 0.0, 1.0
    if scale == "minmax":
        return numbers.low, _spread(numbers.high - numbers.low, numbers.low)
    scaled = logs if logs is not None else numbers
    center = scaled.mean if np.isfinite(scaled.mean) else 0.0
    return center, _spread(scaled.deviation, center)


def _spread(deviation: float, center: float) -> float:
    """Return a deviation that can be divided by: 1 where it is none."""
    is_enough = deviation > _LEAST_DEVIATION * abs(center)
    return deviation if is_enough and np.isfinite(deviation) else 1.0


def _fill(missing: str | float, numbers: NumberStatistics) -> float:
    if isinstance(missing, str):
        return {"median": numbers.median, "mean": numbers.mean, "zero": 0.0}[missing]
    return float(missing)
