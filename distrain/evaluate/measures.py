"""The metrics of one model's predictions on any drawing of their rows, many drawings at a time.

Each gives what `train/metrics.py` gives for the same rows, each row as often as it was drawn.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distrain.data.features import Transform, label_text
from distrain.evaluate.comparison import Floats, Measure
from distrain.train.metrics import Metric, classification_metrics

Ints = npt.NDArray[np.int64]
_LEAST_CHANCE: Final = float(np.finfo(np.float64).eps)
_FROM_CONFUSION: Final = ("balanced_accuracy", "f1", "precision", "recall")


def measure_of(
    metric: Metric, transform: Transform, targets: npt.NDArray[Any], predictions: pa.Table
) -> Measure:
    """Return what measures predictions on any drawing of their rows.

    Args:
        metric: which one; not the loss, which predictions do not tell.
        transform: says what the targets and predictions are.
        targets: class indices `(rows,)`, or values in their own unit `(rows, targets)`.
        predictions: as a packaged model returns them, in the same order.
    """
    if metric.function is not None:
        return _own(metric.function, *_values(transform, targets, predictions))
    if transform.task == "regression":
        return _OF_NUMBERS[metric.name](targets, _numbers(transform, predictions))
    labels = pa.array(list(transform.classes))
    predicted = pc.index_in(predictions["prediction"], value_set=labels).to_numpy()
    if metric.name == "accuracy":
        return _mean((predicted == targets).astype(np.float64))
    if metric.name in _FROM_CONFUSION:
        return _of_confusion(metric.name, targets, predicted.astype(np.int64), transform)
    chances = np.stack(
        [predictions[f"probability_{label_text(label)}"] for label in transform.classes], axis=1
    )
    if metric.name == "log_loss":
        chosen = chances[np.arange(len(targets)), targets]
        return _mean(-np.log(np.clip(chosen, _LEAST_CHANCE, 1)))
    function = {"roc_auc": _roc_auc, "average_precision": _average_precision}[metric.name]
    classes = [transform.positive] if transform.positive is not None else np.unique(targets)
    parts = [function(targets == index, chances[:, index]) for index in classes]
    return lambda drawn: np.mean([part(drawn) for part in parts], axis=0)


def _mean(values: Floats) -> Measure:
    """Return what measures the mean of a value of each row, `(rows,)`."""
    return lambda drawn: drawn @ values / drawn.sum(axis=1)


def _of_confusion(name: str, true: Ints, predicted: Ints, transform: Transform) -> Measure:
    size = len(transform.classes)
    positive = transform.positive if size == 2 else None
    cells, place = np.unique(true * size + predicted, return_inverse=True)
    is_in_cell = (place[:, None] == np.arange(len(cells))).astype(np.float64)

    def measure(drawn: Floats) -> Floats:
        confusions = np.zeros((len(drawn), size * size), dtype=np.int64)
        confusions[:, cells] = np.rint(drawn @ is_in_cell).astype(np.int64)
        found = (classification_metrics(c.reshape(size, size), positive) for c in confusions)
        return np.array([values[name] for values in found])

    return measure


def _by_score(
    is_positive: npt.NDArray[np.bool_], scores: Floats
) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Return what counts positive and other rows by score, equal ones together, falling."""
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], is_positive[order].astype(np.float64)
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])

    def count(drawn: Floats) -> tuple[Floats, Floats]:
        taken = drawn[:, order]
        right = np.add.reduceat(taken * positive, starts, axis=1)
        return right, np.add.reduceat(taken * (1 - positive), starts, axis=1)

    return count


def _roc_auc(is_positive: npt.NDArray[np.bool_], scores: Floats) -> Measure:
    count = _by_score(is_positive, scores)

    def measure(drawn: Floats) -> Floats:
        right, wrong = count(drawn)
        num_right, num_wrong = right.sum(axis=1), wrong.sum(axis=1)
        below = num_wrong[:, None] - np.cumsum(wrong, axis=1)
        return _divided((right * (below + wrong / 2)).sum(axis=1), num_right * num_wrong)

    return measure


def _average_precision(is_positive: npt.NDArray[np.bool_], scores: Floats) -> Measure:
    count = _by_score(is_positive, scores)

    def measure(drawn: Floats) -> Floats:
        right, wrong = count(drawn)
        found = np.cumsum(right, axis=1)
        called = found + np.cumsum(wrong, axis=1)
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        return _divided((right * precision).sum(axis=1), right.sum(axis=1))

    return measure


def _mse(targets: Floats, values: Floats) -> Measure:
    return _mean(np.square(values - targets).mean(axis=1))


def _mae(targets: Floats, values: Floats) -> Measure:
    return _mean(np.abs(values - targets).mean(axis=1))


def _rmse(targets: Floats, values: Floats) -> Measure:
    squares = np.square(values - targets)

    def measure(drawn: Floats) -> Floats:
        means: Floats = np.sqrt(drawn @ squares / drawn.sum(axis=1)[:, None]).mean(axis=1)
        return means

    return measure


def _r2(targets: Floats, values: Floats) -> Measure:
    squares = np.square(values - targets)
    # Less the mean, the squares keep their digits.
    shifted = targets - targets.mean(axis=0)

    def measure(drawn: Floats) -> Floats:
        count = drawn.sum(axis=1)[:, None]
        spread = drawn @ np.square(shifted) - np.square(drawn @ shifted) / count
        explained: Floats = 1 - _divided(drawn @ squares, spread)
        return np.asarray(explained.mean(axis=1))

    return measure


_OF_NUMBERS: Final[Mapping[str, Callable[[Floats, Floats], Measure]]] = {
    "mse": _mse,
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
}


def _own(
    function: Callable[[Any, Any], float], targets: npt.NDArray[Any], values: npt.NDArray[Any]
) -> Measure:
    function(targets, values)  # one that fails on all rows shall say why

    def value(rows: Ints) -> float:
        try:
            return float(function(targets[rows], values[rows]))
        except Exception:  # no number is the answer: it may be undefined for rows of one class
            return math.nan

    def measure(drawn: Floats) -> Floats:
        rows = [np.repeat(np.arange(len(one)), one.astype(np.int64)) for one in drawn]
        return np.array([value(chosen) for chosen in rows])

    return measure


def _values(
    transform: Transform, targets: npt.NDArray[Any], predictions: pa.Table
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return targets and predictions as a function of the user's takes them."""
    if transform.task == "classification":
        predicted = predictions["prediction"].to_numpy()
        return np.array(transform.classes)[targets], predicted
    values = _numbers(transform, predictions)
    is_single = values.shape[1] == 1
    return (targets[:, 0], values[:, 0]) if is_single else (targets, values)


def _numbers(transform: Transform, predictions: pa.Table) -> Floats:
    single = len(transform.targets) == 1
    names = ["prediction"] if single else [f"prediction_{name}" for name in transform.targets]
    return np.stack([predictions[name].to_numpy() for name in names], axis=1)


def _divided(above: Floats, below: Floats) -> Floats:
    """Return the quotients, nan where there is nothing to divide by: no metric is defined there."""
    quotients: Floats = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return quotients
