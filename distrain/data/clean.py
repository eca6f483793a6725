"""Which training rows stay, and within which bounds their numbers are; others are left as found."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.columns import TextRules, as_float64, as_text, plain
from distrain.data.rowkeys import Mask, RunKeys
from distrain.data.runs import RunKey
from distrain.data.statistics import NumberStatistics

# Further from the training mean than so many standard deviations, a number is an outlier.
OUTLIER_DEVIATIONS: Final = 10.0

Bounds = Mapping[str, tuple[float, float]]


def repeated_rows(keys: Mapping[RunKey, RunKeys]) -> dict[RunKey, npt.NDArray[np.int64]]:
    """Return, for each run, the training rows that repeat an earlier training row.

    Args:
        keys: each run's row keys, in the order of the runs.
    """
    runs = list(keys)
    rows = [np.flatnonzero(part.is_training) for part in keys.values()]
    training = [part.keys[chosen] for part, chosen in zip(keys.values(), rows, strict=True)]
    if not training:
        return {}
    joined = np.concatenate(training)
    order = np.argsort(joined, kind="stable")
    is_repeat = np.zeros(len(joined), dtype=np.bool_)
    is_repeat[order[1:]] = joined[order[1:]] == joined[order[:-1]]
    ends = np.cumsum([len(part) for part in training])[:-1]
    parts = np.split(is_repeat, ends)
    return {key: rows[i][parts[i]] for i, key in enumerate(runs) if parts[i].any()}


def rows_with_missing(
    table: pa.Table, columns: Sequence[str], types: Mapping[str, str], rules: TextRules
) -> Mask:
    """Return which rows lack a value (or have an infinite one) in any of some columns, `(n,)`."""
    lacks = np.zeros(table.num_rows, dtype=np.bool_)
    for name in columns:
        column = plain(table.column(name))
        if types[name] == "string":
            text = as_text(column, name, types[name], rules)
            lacks |= text.is_null().to_numpy(zero_copy_only=False)
        elif types[name] == "image":
            lacks |= column.is_null().to_numpy(zero_copy_only=False)
        else:
            lacks |= ~np.isfinite(as_float64(column, name, types[name], rules))
    return lacks


def rows_outside(
    table: pa.Table, bounds: Bounds, types: Mapping[str, str], rules: TextRules
) -> Mask:
    """Return which rows have a number outside its column's bounds, `(n,)`; missing is inside."""
    outside = np.zeros(table.num_rows, dtype=np.bool_)
    for name, (low, high) in bounds.items():
        numbers = as_float64(table.column(name), name, types[name], rules)
        outside |= (numbers < low) | (numbers > high)
    return outside


def clipped(
    table: pa.Table, rows: Mask, bounds: Bounds, types: Mapping[str, str], rules: TextRules
) -> pa.Table:
    """Return a table whose numbers in the given rows are brought within their column's bounds."""
    for name, (low, high) in bounds.items():
        numbers = as_float64(table.column(name), name, types[name], rules)
        # Infinite numbers count as missing, not as far away.
        inside = np.where(rows & np.isfinite(numbers), np.clip(numbers, low, high), numbers)
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(inside, from_pandas=True))
    return table


def outlier_bounds(training: Mapping[str, NumberStatistics]) -> dict[str, tuple[float, float]]:
    """Return the bounds of each column from its training mean and standard deviation."""
    bounds = {}
    for name, numbers in training.items():
        reach = OUTLIER_DEVIATIONS * numbers.deviation
        if np.isfinite(reach):
            bounds[name] = (numbers.mean - reach, numbers.mean + reach)
    return bounds
