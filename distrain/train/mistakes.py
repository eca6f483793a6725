"""Where a model is wrong on a split, as counts that are small enough to be recorded. Pure.

Rows are counted and forgotten: neither a target nor a prediction of a single row is kept.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_CLASSES: Final = 1_000
"""Of more classes, those with the most rows are told."""
MAX_CONFUSIONS: Final = 2_450
"""The most frequent ones; of 50 classes or fewer these are all."""
NUM_BINS: Final = 40
NUM_GROUPS: Final = 10
_INNER: Final = (0.005, 0.995)
"""Quantiles between which many errors are counted in ranges; the rest is counted beyond them."""
_MANY_ROWS: Final = 400


def of_classes(confusion: Ints, labels: Sequence[str]) -> dict[str, Any]:
    """Return rows by class and the most frequent confusions.

    Args:
        confusion: rows by true class, columns by predicted class, `(classes, classes)`.
        labels: the classes' names, in that order.

    Returns:
        `num_rows`; `num_classes`; `classes`, `actual`, `predicted` and `right`: names and numbers
        of rows, one for each class that is told; `confused`: `[actual, predicted, rows]` by place
        in `classes`, the most frequent first.
    """
    rows, said = confusion.sum(axis=1), confusion.sum(axis=0)
    kept = np.sort(np.argsort(-(rows + said), kind="stable")[:MAX_CLASSES])
    counts = confusion[np.ix_(kept, kept)].copy()
    right = np.diag(counts).copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MAX_CONFUSIONS]
    actual, predicted = np.unravel_index(order, counts.shape)
    return {
        "num_rows": int(confusion.sum()),
        "num_classes": len(labels),
        "classes": [labels[index] for index in kept],
        "actual": rows[kept].tolist(),
        "predicted": said[kept].tolist(),
        "right": right.tolist(),
        "confused": [
            [int(true), int(other), int(counts[true, other])]
            for true, other in zip(actual, predicted, strict=True)
            if counts[true, other]
        ],
    }


def of_numbers(targets: Floats, values: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Return how large the errors are, and for which targets.

    Args:
        targets: what is, in its own unit, `(rows, targets)`.
        values: what was predicted, likewise.
        names: the target columns.

    Returns:
        `num_rows`, and `targets`: for each its `name`; `num_finite` predictions; `mean_error` and
        `mean_absolute_error` of these; `edges` of ranges of errors (predicted less actual) with
        `counts`, and the rows `below` and `above` all of them; `groups`: tenths of the rows by the
        target, each with `low`, `high`, `num_rows`, `mean_error` and `mean_absolute_error`.
    """
    return {
        "num_rows": len(targets),
        "targets": [
            {"name": name, **_of_target(targets[:, place], values[:, place])}
            for place, name in enumerate(names)
        ],
    }


def _of_target(targets: Floats, values: Floats) -> dict[str, Any]:
    is_finite = np.isfinite(values) & np.isfinite(targets)
    actual, errors = targets[is_finite], (values - targets)[is_finite]
    if not len(errors):
        return {"num_finite": 0}
    edges = _edges(errors)
    counts, _ = np.histogram(errors, bins=edges)
    order = np.argsort(actual, kind="stable")
    groups = [part for part in np.array_split(order, NUM_GROUPS) if len(part)]
    return {
        "num_finite": len(errors),
        **_means(errors),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "below": int((errors < edges[0]).sum()),
        "above": int((errors > edges[-1]).sum()),
        "groups": [
            {
                "low": float(actual[part].min()),
                "high": float(actual[part].max()),
                "num_rows": len(part),
                **_means(errors[part]),
            }
            for part in groups
        ],
    }


def _edges(errors: Floats) -> Floats:
    is_many = len(errors) >= _MANY_ROWS
    low, high = np.quantile(errors, _INNER) if is_many else (errors.min(), errors.max())
    if low == high:
        room = abs(low) / 2 or 0.5
        low, high = low - room, high + room
    edges: Floats = np.linspace(low, high, NUM_BINS + 1)
    return edges


def _means(errors: Floats) -> dict[str, float]:
    return {
        "mean_error": float(errors.mean()),
        "mean_absolute_error": float(np.abs(errors).mean()),
    }
