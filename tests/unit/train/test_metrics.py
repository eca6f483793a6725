"""Metrics from sums and from predictions, against scikit-learn."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from distrain.errors import ModelError, TrainError
from distrain.train.metrics import (
    Metric,
    classification_metrics,
    metrics_from_predictions,
    regression_metrics,
    resolve_metrics,
)
from tests.prepared_examples import numeric_transform

RANDOM = np.random.default_rng(0)
TRUE = RANDOM.integers(0, 3, 200)
PREDICTED = np.where(RANDOM.random(200) < 0.6, TRUE, RANDOM.integers(0, 3, 200))
FROM_CONFUSION = ["accuracy", "balanced_accuracy", "f1", "precision", "recall"]
EVERY_CLASS_METRIC = [*FROM_CONFUSION, "roc_auc", "average_precision", "log_loss"]


def classes(*labels: Any, positive: int | None = None) -> Any:
    return numeric_transform(
        2, task="classification", targets=["y"], classes=list(labels), positive=positive
    )


def confusion(true: Any, predicted: Any, size: int) -> Any:
    return sk.confusion_matrix(true, predicted, labels=range(size)).astype(np.int64)


def sk_class_metrics(true: Any, predicted: Any, **how: Any) -> dict[str, float]:
    return {
        "accuracy": sk.accuracy_score(true, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(true, predicted),
        "f1": sk.f1_score(true, predicted, zero_division=0.0, **how),
        "precision": sk.precision_score(true, predicted, zero_division=0.0, **how),
        "recall": sk.recall_score(true, predicted, zero_division=0.0, **how),
    }


def test_three_classes_are_averaged() -> None:
    found = classification_metrics(confusion(TRUE, PREDICTED, 3), None)
    assert found == pytest.approx(sk_class_metrics(TRUE, PREDICTED, average="macro"))


@pytest.mark.parametrize("positive", [0, 1])
def test_two_classes_speak_of_the_positive_one(positive: int) -> None:
    true, predicted = TRUE % 2, PREDICTED % 2
    found = classification_metrics(confusion(true, predicted, 2), positive)
    assert found == pytest.approx(sk_class_metrics(true, predicted, pos_label=positive))


def test_classes_that_do_not_occur_are_left_out() -> None:
    true, predicted = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])
    found = classification_metrics(confusion(true, predicted, 5), None)
    assert found == pytest.approx(sk_class_metrics(true, predicted, average="macro"))


def test_no_rows_have_no_accuracy() -> None:
    assert math.isnan(classification_metrics(np.zeros((2, 2), dtype=np.int64), 1)["accuracy"])


@pytest.mark.parametrize("num_targets", [1, 2])
def test_regression_metrics_keep_their_digits_far_from_zero(num_targets: int) -> None:
    targets = RANDOM.standard_normal((300, num_targets)) * 2.0 + 1e7
    predictions = targets + RANDOM.standard_normal((300, num_targets))
    errors, shifted = predictions - targets, targets - 1e7
    sums = np.stack(
        [values.sum(axis=0) for values in (errors**2, abs(errors), shifted, shifted**2)]
    )
    assert regression_metrics(300, sums) == pytest.approx(
        {
            "mse": sk.mean_squared_error(targets, predictions),
            "rmse": sk.root_mean_squared_error(targets, predictions),
            "mae": sk.mean_absolute_error(targets, predictions),
            "r2": sk.r2_score(targets, predictions),
        },
        rel=1e-9,
    )


def test_a_constant_target_has_the_r2_of_scikit_learn() -> None:
    sums = np.array([[4.0], [2.0], [0.0], [0.0]])
    assert regression_metrics(2, sums)["r2"] == sk.r2_score([5.0, 5.0], [5.0, 7.0])


def test_predictions_of_two_classes_are_measured_by_label_and_probability() -> None:
    transform = classes("no", "yes", positive=1)
    logits = RANDOM.standard_normal((200, 2)).astype(np.float32)
    true = (TRUE > 0).astype(np.int64)
    table = transform.decode(logits)
    metrics = resolve_metrics(EVERY_CLASS_METRIC, "classification")
    found = metrics_from_predictions(metrics, transform, true, table)
    labels = np.array(["no", "yes"])[true]
    predicted = np.array(table["prediction"].to_pylist())
    chance = table["probability_yes"].to_numpy()
    assert found == {
        **sk_class_metrics(labels, predicted, pos_label="yes"),
        "roc_auc": sk.roc_auc_score(labels == "yes", chance),
        "average_precision": sk.average_precision_score(labels == "yes", chance),
        "log_loss": pytest.approx(sk.log_loss(labels == "yes", chance), rel=1e-6),
    }


def test_predictions_of_three_classes_are_averaged() -> None:
    transform = classes(10, 20, 30)
    logits = RANDOM.standard_normal((200, 3)).astype(np.float32)
    table = transform.decode(logits)
    metrics = resolve_metrics(["roc_auc", "f1", "average_precision"], "classification")
    found = metrics_from_predictions(metrics, transform, TRUE, table)
    chances = np.stack([table[f"probability_{c}"].to_numpy() for c in (10, 20, 30)], axis=1)
    predicted = table["prediction"].to_numpy()
    labels = np.array([10, 20, 30])[TRUE]
    assert found == pytest.approx(
        {
            "roc_auc": sk.roc_auc_score(labels, chances, multi_class="ovr"),
            "f1": sk.f1_score(labels, predicted, average="macro"),
            "average_precision": sk.average_precision_score(labels, chances),
        },
        abs=1e-12,
    )


def test_an_area_of_one_class_is_not_defined() -> None:
    transform = classes("no", "yes", positive=1)
    table = transform.decode(np.zeros((3, 2), dtype=np.float32))
    metrics = resolve_metrics(EVERY_CLASS_METRIC, "classification")
    found = metrics_from_predictions(metrics, transform, np.zeros(3, dtype=np.int64), table)
    assert math.isnan(found["roc_auc"])
    assert found["accuracy"] == 1.0


def test_values_are_measured_in_their_own_unit() -> None:
    transform = numeric_transform(
        1, task="regression", targets=["price"], target_mean=[1000.0], target_std=[10.0]
    )
    table = transform.decode(np.array([[0.0], [1.0]], dtype=np.float32))
    metrics = resolve_metrics(["mae", "rmse"], "regression")
    targets = np.array([[1001.0], [1013.0]])
    found = metrics_from_predictions(metrics, transform, targets, table)
    assert found == {"mae": 2.0, "rmse": math.sqrt(5.0)}


def test_a_metric_of_the_user_s_own_gets_labels() -> None:
    transform = classes("no", "yes", positive=1)
    table = transform.decode(np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32))
    metrics = resolve_metrics([{"target": "tests.user_models:share_of_yes"}], "classification")
    found = metrics_from_predictions(metrics, transform, np.array([1, 1]), table)
    assert found == {"share_of_yes": 1.5}


def test_a_failing_metric_of_the_user_s_own_is_told() -> None:
    def broken(_targets: Any, _predictions: Any) -> float:
        raise ZeroDivisionError("by zero")

    transform = classes("no", "yes", positive=1)
    table = transform.decode(np.zeros((2, 2), dtype=np.float32))
    told = r"the metric broken failed: ZeroDivisionError: by zero\. Expected a number .* Correct"
    with pytest.raises(TrainError, match=told):
        metrics_from_predictions(
            [Metric("broken", broken)], transform, np.zeros(2, dtype=np.int64), table
        )


def test_metrics_that_suit_the_task_are_the_default() -> None:
    assert [metric.name for metric in resolve_metrics(None, "regression")] == ["rmse", "mae", "r2"]
    assert "roc_auc" in [metric.name for metric in resolve_metrics(None, "classification")]


def test_the_loss_needs_no_asking() -> None:
    asked = resolve_metrics(["loss", "accuracy"], "classification")
    assert [metric.name for metric in asked] == ["accuracy"]


def test_a_metric_that_cannot_be_found_is_told() -> None:
    with pytest.raises(ModelError, match=r"evaluate.metrics: .* has no 'share_of_no'"):
        resolve_metrics([{"target": "tests.user_models:share_of_no"}], "classification")
