from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from distrain.data.features import Transform
from distrain.evaluate.measures import measure_of
from distrain.train.metrics import Metric, metrics_from_predictions

NUM_ROWS = 300


def labels_differ(targets: Any, predictions: Any) -> float:
    return float((targets != predictions).mean())


def classes(number: int, positive: int | None) -> tuple[Transform, Any, pa.Table]:
    random = np.random.default_rng(number)
    transform = Transform("classification", ["y"], list(range(number)), positive)
    targets = random.integers(0, number, NUM_ROWS)
    logits = random.normal(size=(NUM_ROWS, number)).round(1).astype(np.float32)
    logits[np.arange(NUM_ROWS), targets] += 1
    return transform, targets, transform.decode(logits)


def numbers(targets: int) -> tuple[Transform, Any, pa.Table]:
    random = np.random.default_rng(targets)
    names = [f"t{place}" for place in range(targets)]
    transform = Transform(
        "regression", names, target_mean=[3.0] * targets, target_std=[2.0] * targets
    )
    true = random.normal(3, 2, (NUM_ROWS, targets))
    outputs = random.normal(size=(NUM_ROWS, targets)).astype(np.float32)
    return transform, true, transform.decode(outputs)


CLASS_METRICS = (
    *("accuracy", "balanced_accuracy", "f1", "precision", "recall"),
    *("roc_auc", "average_precision", "log_loss"),
)
NUMBER_METRICS = ("mse", "rmse", "mae", "r2")


@pytest.mark.parametrize(
    ("case", "name"),
    [
        *[(classes(2, 1), name) for name in CLASS_METRICS],
        *[(classes(4, None), name) for name in CLASS_METRICS],
        *[(numbers(1), name) for name in NUMBER_METRICS],
        *[(numbers(3), name) for name in NUMBER_METRICS],
    ],
)
def test_a_drawing_gives_what_its_rows_give(
    case: tuple[Transform, Any, pa.Table], name: str
) -> None:
    transform, targets, predictions = case
    metric = Metric(name)
    rows = np.random.default_rng(3).integers(0, NUM_ROWS, NUM_ROWS)
    drawn = np.stack([np.ones(NUM_ROWS), np.bincount(rows, minlength=NUM_ROWS)])

    found = measure_of(metric, transform, targets, predictions)(drawn)

    whole = metrics_from_predictions([metric], transform, targets, predictions)
    part = metrics_from_predictions([metric], transform, targets[rows], predictions.take(rows))
    np.testing.assert_allclose(found, [whole[name], part[name]], rtol=1e-9)


def test_a_metric_of_the_users_own_is_drawn_too() -> None:
    transform, targets, predictions = classes(2, 1)
    drawn = np.zeros((1, NUM_ROWS))
    drawn[0, 5] = 3
    found = measure_of(Metric("mine", labels_differ), transform, targets, predictions)(drawn)
    expected = float(predictions["prediction"][5].as_py() != targets[5])
    assert found.tolist() == [expected]


def test_a_metric_of_the_users_own_that_fails_on_some_rows_is_not_defined_there() -> None:
    def of_both_classes(targets: Any, _: Any) -> float:
        if len(set(targets)) == 1:
            raise ValueError("only one class")
        return 1.0

    transform, targets, predictions = classes(2, 1)
    measure = measure_of(Metric("mine", of_both_classes), transform, targets, predictions)
    drawn = np.stack([np.ones(NUM_ROWS), (targets == 1).astype(float)])
    np.testing.assert_equal(measure(drawn), [1.0, np.nan])


def test_a_metric_of_the_users_own_that_fails_on_all_rows_says_why() -> None:
    def broken(_: Any, __: Any) -> float:
        raise ValueError("a mistake")

    transform, targets, predictions = classes(2, 1)
    with pytest.raises(ValueError, match="a mistake"):
        measure_of(Metric("mine", broken), transform, targets, predictions)


def test_rows_of_one_class_have_no_area_under_the_curve() -> None:
    transform, targets, predictions = classes(2, 1)
    drawn = (targets == 1).astype(float)[None]
    assert np.isnan(measure_of(Metric("roc_auc"), transform, targets, predictions)(drawn)).all()
