"""What a sample of the rows shows: columns that give the target away, and splits unlike each other.

Sources: the population stability index, and the 0.25 above which a shift counts as a large one, are
those of Siddiqi, Credit Risk Scorecards (2006).
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from distrain.data.encoders import NumericFeature
from distrain.data.features import Transform
from distrain.data.findings import Finding
from distrain.data.row_sample import Floats, RowSample, column_values
from distrain.data.split import TEST

# A column that leaves no more than this share of the target untold gives it away.
_UNTOLD: Final = 0.02
_LEAST_SCORED: Final = 50
_LEAST_OTHERS: Final = 10
"""Rows of other classes than the commonest: of fewer, nothing can be told."""
_ROWS_A_BIN: Final = 4
_LEAKING_BINS: Final = 1_024
_LARGE_SHIFT: Final = 0.25
_SHIFT_BINS: Final = 10
_SHIFT_CATEGORIES: Final = 20
_SHIFT_ROWS: Final = 100
# Chance alone makes an index of about (bins - 1) x (1 / n + 1 / m); so many times that is none.
_ABOVE_CHANCE: Final = 4

Codes = npt.NDArray[np.int64]


def leaking_columns(transform: Transform, sample: RowSample) -> Iterator[Finding]:
    """Yield the columns each of which alone tells the target nearly without fail.

    One half of the training rows says what goes with which value, the other half scores that.

    Args:
        transform: what made the features.
        sample: some rows.
    """
    chosen = sample.is_training
    x, y = sample.x[chosen], sample.y[chosen]
    if len(x) < 2 * _LEAST_SCORED:
        return
    has_classes = transform.task == "classification"
    targets = y.reshape(len(y), -1).T
    for feature, values in column_values(transform, x):
        num_bins = min(_LEAKING_BINS, len(x) // 2 // _ROWS_A_BIN)
        codes = _codes(values, values[::2], num_bins)
        told = _told_class if has_classes else _told_value
        for name, target in zip(transform.targets, targets, strict=True):
            share = told(codes, target)
            if share is not None and share >= 1 - _UNTOLD:
                what = "of what sets the classes apart" if has_classes else "of its variance"
                text = (
                    f"alone it tells the target {name!r}: {share:.1%} {what}, on {len(x):,} "
                    "sampled rows; is it known before the target is? (data.features: drop, if not)"
                )
                yield Finding("leaking-column", feature.name, text, len(x))


def shifted_columns(transform: Transform, sample: RowSample) -> Iterator[Finding]:
    """Yield the columns, and targets, whose values in the test split are unlike the training ones.

    Args:
        transform: what made the features.
        sample: some rows.
    """
    training, test = sample.is_training, sample.split == TEST
    if min(training.sum(), test.sum()) < _SHIFT_ROWS:
        return
    for feature, values in column_values(transform, sample.x):
        is_number = isinstance(feature, NumericFeature)
        yield from _shift("shifted-column", feature.name, values, (training, test), is_number)
    targets = sample.y.reshape(len(sample.y), -1).T.astype(np.float64)
    is_number = transform.task == "regression"
    for name, values in zip(transform.targets, targets, strict=True):
        yield from _shift("shifted-target", name, values, (training, test), is_number)


def _shift(
    kind: str, name: str, values: Floats, splits: tuple[Any, Any], is_number: bool
) -> Iterator[Finding]:
    training, test = (values[rows] for rows in splits)
    if is_number:
        codes = _codes(values, training, _SHIFT_BINS)
    else:
        codes = np.where(np.isnan(values), -1, np.minimum(values, _SHIFT_CATEGORIES))
        codes = codes.astype(np.int64)
    size = int(codes.max()) + 2
    counts = [np.bincount(codes[rows] + 1, minlength=size) for rows in splits]
    used = (counts[0] + counts[1]) > 0
    one, two = ((c[used] + 0.5) / (c[used].sum() + 0.5 * used.sum()) for c in counts)
    index = float(((one - two) * np.log(one / two)).sum())
    by_chance = (int(used.sum()) - 1) * (1 / len(training) + 1 / len(test))
    if index >= max(_LARGE_SHIFT, _ABOVE_CHANCE * by_chance):
        text = (
            f"its values in the test split are unlike those of training: a population stability "
            f"index of {index:.2f}, where {_LARGE_SHIFT:g} is a large shift"
        )
        yield Finding(kind, name, text, len(test))


def _codes(values: Floats, fitted: Floats, num_bins: int) -> Codes:
    """Return the bin of each value, -1 for missing: bins of about as many of `fitted` each."""
    known = fitted[~np.isnan(fitted)]
    edges = np.unique(known)
    if len(edges) > num_bins:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, num_bins + 1)))
    found = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), -1, found).astype(np.int64)


def _told_class(codes: Codes, classes: npt.NDArray[Any]) -> float | None:
    """Return how much less often a class is missed than by naming the commonest, 1: never."""
    num_codes, num_classes = int(codes.max()) + 2, int(classes.max()) + 1
    places = (codes + 1) * num_classes + classes.astype(np.int64)
    table = np.bincount(places[::2], minlength=num_codes * num_classes)
    table = table.reshape(num_codes, num_classes)
    commonest = int(table.sum(axis=0).argmax())
    named = np.where(table.sum(axis=1) > 0, table.argmax(axis=1), commonest)
    scored = classes[1::2]
    others = int((scored != commonest).sum())
    if others < _LEAST_OTHERS:
        return None
    missed = int((named[codes[1::2] + 1] != scored).sum())
    return 1 - missed / others


def _told_value(codes: Codes, values: npt.NDArray[Any]) -> float | None:
    """Return the share of the variance that the mean of a value's bin explains."""
    numbers = values.astype(np.float64)
    fitted, scored = numbers[::2], numbers[1::2]
    size = int(codes.max()) + 2
    counts = np.bincount(codes[::2] + 1, minlength=size)
    sums = np.bincount(codes[::2] + 1, weights=fitted, minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), fitted.mean())
    spread = float(np.square(scored - scored.mean()).sum())
    if not spread:
        return None
    return 1 - float(np.square(scored - means[codes[1::2] + 1]).sum()) / spread
