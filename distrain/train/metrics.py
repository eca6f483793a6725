"""Metrics by name: from sums over a split while training, from predictions for the final model.

While a model trains, its metrics come from sums that need no memory. Those of the final model on
the test split come from its predictions as the packaged model returns them, by scikit-learn's
functions, so that whoever computes them again from the raw test file gets the same digits.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distrain.config.names import default_metrics
from distrain.data.features import Transform, label_text
from distrain.errors import TrainError
from distrain.models.target import load_target

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@final
@dataclass(frozen=True)
class Metric:
    """One metric to compute.

    Attributes:
        name: as recorded, without its split.
        function: the user's own, of (targets, predictions); None for a built-in one.
    """

    name: str
    function: Callable[[Any, Any], float] | None = None

    @property
    def needs_predictions(self) -> bool:
        """Return whether sums over batches are not enough."""
        return self.function is not None or self.name in _FROM_SCORES


_FROM_SCORES: Final = ("roc_auc", "average_precision", "log_loss")


def resolve_metrics(
    asked: Sequence[str | Mapping[str, str]] | None, task: str
) -> tuple[Metric, ...]:
    """Return the metrics of an `evaluate.metrics` section, without the loss.

    Args:
        asked: names, or `{"target": "package.module:function"}`; None: what suits the task.
        task: `classification` or `regression`.

    Raises:
        ModelError: the user's function cannot be found.
    """
    entries = default_metrics("classification" if task == "classification" else "regression")
    metrics = [_resolve(entry) for entry in (entries if asked is None else asked)]
    return tuple(metric for metric in metrics if metric.name != "loss")


def _resolve(entry: str | Mapping[str, str]) -> Metric:
    if isinstance(entry, str):
        return Metric(entry)
    target = entry["target"]
    name = target.replace(":", ".").rpartition(".")[2]
    return Metric(name, load_target(target, where="evaluate.metrics"))


def classification_metrics(confusion: Ints, positive: int | None) -> dict[str, float]:
    """Return the metrics that follow from a confusion matrix.

    With two classes and a positive one, f1, precision and recall are that class's; else they are
    the plain mean over the classes that occur. What would be divided by zero is zero.

    Args:
        confusion: rows by true class, columns by predicted class, `(classes, classes)`.
        positive: index of the positive class, or None.
    """
    right = np.diag(confusion).astype(np.float64)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    precision = _divided(right, predicted)
    recall = _divided(right, true)
    f1 = _divided(2.0 * right, true + predicted)
    occurs = (true + predicted) > 0
    chosen = occurs if positive is None else np.arange(len(confusion)) == positive
    return {
        "accuracy": float(right.sum() / confusion.sum()) if confusion.sum() else math.nan,
        "balanced_accuracy": _mean(recall[true > 0]),
        "f1": _mean(f1[chosen]),
        "precision": _mean(precision[chosen]),
        "recall": _mean(recall[chosen]),
    }


def regression_metrics(num_rows: int, sums: Floats) -> dict[str, float]:
    """Return the metrics that follow from sums over rows; several targets are averaged.

    Args:
        num_rows: rows that were summed.
        sums: by target, `(4, targets)`: squared errors, absolute errors, targets less some
            constant, and the squares of those, all in the target's own unit.
    """
    if num_rows == 0:
        return dict.fromkeys(("mse", "rmse", "mae", "r2"), math.nan)
    squared, absolute, shifted, shifted_squared = sums
    mse = squared / num_rows
    spread = np.maximum(shifted_squared - shifted * shifted / num_rows, 0.0)
    unexplained = np.divide(squared, spread, out=np.where(squared > 0, 1.0, 0.0), where=spread > 0)
    return {
        "mse": _mean(mse),
        "rmse": _mean(np.sqrt(mse)),
        "mae": _mean(absolute / num_rows),
        "r2": _mean(1.0 - unexplained) if num_rows > 1 else math.nan,
    }


def metrics_from_predictions(
    metrics: Sequence[Metric],
    transform: Transform,
    targets: npt.NDArray[Any],
    predictions: pa.Table,
) -> dict[str, float]:
    """Return metrics of predictions as the packaged model returns them.

    Args:
        metrics: which ones.
        transform: the fitted transform.
        targets: class indices `(rows,)` int64, or targets in their own unit `(rows, targets)`
            float64.
        predictions: what `transform.decode` gives, in the same order.

    Returns:
        Metric name to value; nan where it is not defined, such as an area under the ROC curve of
        rows of one class.

    Raises:
        TrainError: the user's own metric failed.
    """
    if transform.task == "classification":
        scores = _ClassScores.of(transform, targets, predictions)
        return {metric.name: _of_classes(metric, scores) for metric in metrics}
    names = _prediction_columns(transform)
    values = np.stack([predictions[name].to_numpy() for name in names], axis=1)
    if len(names) == 1:
        targets, values = targets[:, 0], values[:, 0]
    return {metric.name: _of_numbers(metric, targets, values) for metric in metrics}


@final
@dataclass(frozen=True)
class _ClassScores:
    """Targets and predictions of a classification, as indices, labels and probabilities."""

    true: Ints
    predicted: Ints
    probabilities: Floats
    labels: npt.NDArray[Any]
    positive: int | None

    @classmethod
    def of(cls, transform: Transform, targets: Ints, predictions: pa.Table) -> "_ClassScores":
        labels = pa.array(list(transform.classes))
        predicted = pc.index_in(predictions["prediction"], value_set=labels).to_numpy()
        probabilities = [
            predictions[f"probability_{label_text(label)}"].to_numpy()
            for label in transform.classes
        ]
        return cls(
            targets,
            predicted.astype(np.int64),
            np.stack(probabilities, axis=1),
            np.array(transform.classes),
            transform.positive if len(transform.classes) == 2 else None,
        )


def _of_classes(metric: Metric, scores: _ClassScores) -> float:
    if metric.function is not None:
        return _own(metric, scores.labels[scores.true], scores.labels[scores.predicted])
    if len(scores.true) == 0:
        return math.nan
    if metric.name in _FROM_SCORES:
        return _of_probabilities(metric.name, scores)
    from sklearn import metrics as sk

    if metric.name == "accuracy":
        return float(sk.accuracy_score(scores.true, scores.predicted))
    if metric.name == "balanced_accuracy":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class that is predicted and never true
            return float(sk.balanced_accuracy_score(scores.true, scores.predicted))
    function = {"f1": sk.f1_score, "precision": sk.precision_score, "recall": sk.recall_score}
    how = (
        {"average": "macro"}
        if scores.positive is None
        else {"average": "binary", "pos_label": scores.positive}
    )
    return float(function[metric.name](scores.true, scores.predicted, zero_division=0.0, **how))


def _of_probabilities(name: str, scores: _ClassScores) -> float:
    from sklearn import metrics as sk

    if not np.isfinite(scores.probabilities).all():
        return math.nan
    if name == "log_loss":
        with warnings.catch_warnings():
            # Probabilities are float32, so they sum to one within 1e-7 and not within 1e-8.
            warnings.simplefilter("ignore")
            classes = range(len(scores.labels))
            return float(sk.log_loss(scores.true, scores.probabilities, labels=list(classes)))
    function = {"roc_auc": sk.roc_auc_score, "average_precision": sk.average_precision_score}[name]
    present = np.unique(scores.true)
    if len(present) < 2:
        return math.nan
    chosen = present if scores.positive is None else [scores.positive]
    values = [function(scores.true == index, scores.probabilities[:, index]) for index in chosen]
    return _mean(np.array(values))


def _of_numbers(metric: Metric, targets: Floats, predictions: Floats) -> float:
    if metric.function is not None:
        return _own(metric, targets, predictions)
    too_few = 2 if metric.name == "r2" else 1
    if len(targets) < too_few or not np.isfinite(predictions).all():
        return math.nan
    from sklearn import metrics as sk

    function = {
        "mse": sk.mean_squared_error,
        "rmse": sk.root_mean_squared_error,
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
    }[metric.name]
    return float(function(targets, predictions))


def _own(metric: Metric, targets: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    assert metric.function is not None
    try:
        return float(metric.function(targets, predictions))
    except Exception as fault:  # the user's code may raise anything; raised again in words
        raise TrainError(
            f"the metric {metric.name} failed: {type(fault).__name__}: {fault}",
            where="evaluate.metrics",
            expected=f"a number from targets and predictions of {len(targets)} rows",
            mend="Correct the function, or take it out of evaluate.metrics",
        ) from fault


def _prediction_columns(transform: Transform) -> list[str]:
    if len(transform.targets) == 1:
        return ["prediction"]
    return [f"prediction_{target}" for target in transform.targets]


def _divided(above: Floats, below: npt.NDArray[Any]) -> Floats:
    ratios: Floats = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return ratios


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0
