"""Losses: a sum over rows and the weight to divide it by."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from distrain.data.tensors import Rows
from distrain.errors import ModelError
from distrain.train.losses import Loss, build_loss, default_loss
from tests.prepared_examples import numeric_transform

CLASSES = numeric_transform(
    2, task="classification", targets=["label"], classes=["low", "mid", "high"]
)
NUMBERS = numeric_transform(
    2, task="regression", targets=["a", "b"], target_mean=[0.0, 0.0], target_std=[1.0, 1.0]
)
OUTPUTS = torch.tensor([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0], [0.0, 0.0, 0.0], [2.0, 2.0, -5.0]])
Y = torch.tensor([0, 2, 1, 1])
WEIGHT = torch.tensor([1.0, 0.0, 2.0, 0.5])
COUNTS = [6, 3, 0]


def build(spec: dict[str, Any], transform: Any = CLASSES) -> Loss:
    return build_loss(
        spec, transform=transform, class_counts=lambda: COUNTS, device=torch.device("cpu")
    )


def mean_of(loss: Loss, outputs: torch.Tensor, rows: Rows) -> float:
    loss_sum, weight = loss(outputs, rows)
    return float(loss_sum / weight)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ({}, {}),
        ({"label_smoothing": 0.1}, {"label_smoothing": 0.1}),
        ({"class_weights": {"high": 3.0, "low": 0.5}}, {"weight": torch.tensor([0.5, 1.0, 3.0])}),
    ],
)
def test_cross_entropy_is_torch_s(spec: dict[str, Any], options: dict[str, Any]) -> None:
    loss = build({"name": "cross_entropy", **spec})
    expected = functional.cross_entropy(OUTPUTS, Y, **options)
    assert mean_of(loss, OUTPUTS, Rows(OUTPUTS, Y, None)) == pytest.approx(float(expected))


def test_balanced_weights_are_inverse_to_the_training_rows_of_a_class() -> None:
    balanced = build({"name": "cross_entropy", "class_weights": "balanced"})
    stated = build(
        {"name": "cross_entropy", "class_weights": {"low": 0.75, "mid": 1.5, "high": 0.0}}
    )
    rows = Rows(OUTPUTS, Y, None)
    assert mean_of(balanced, OUTPUTS, rows) == pytest.approx(mean_of(stated, OUTPUTS, rows))


def test_row_weights_count_a_row_so_many_times() -> None:
    loss = build({"name": "cross_entropy"})
    each = functional.cross_entropy(OUTPUTS, Y, reduction="none")
    loss_sum, weight = loss(OUTPUTS, Rows(OUTPUTS, Y, WEIGHT))
    assert float(loss_sum) == pytest.approx(float((each * WEIGHT).sum()))
    assert float(weight) == 3.5


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"name": "mse"}, [[1.0, 4.0], [0.0, 9.0]]),
        ({"name": "mae"}, [[1.0, 2.0], [0.0, 3.0]]),
        ({"name": "huber", "delta": 1.0}, [[0.5, 1.5], [0.0, 2.5]]),
    ],
)
def test_regression_losses_are_the_mean_over_targets(
    spec: dict[str, Any], expected: list[list[float]]
) -> None:
    targets = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    loss_sum, weight = build(spec, NUMBERS)(torch.zeros(2, 2), Rows(targets, targets, None))
    assert float(loss_sum) == sum(sum(row) / 2 for row in expected)
    assert float(weight) == 2.0


def test_a_loss_of_the_user_s_own_is_called_with_outputs_and_targets() -> None:
    loss = build({"target": "tests.user_models:first_output"})
    assert mean_of(loss, OUTPUTS, Rows(OUTPUTS, Y, None)) == pytest.approx(3.1 / 4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "hubber"}, "no loss is called 'hubber'. Did you mean 'huber'?"),
        (
            {"name": "cross_entropy", "class_weights": {"hi": 2.0}},
            "'hi' is not a class. Did you mean 'high'?",
        ),
        ({"target": "tests.user_models:no_such_loss"}, "has no 'no_such_loss'"),
    ],
)
def test_what_cannot_be_built_is_told(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(spec)


def test_a_loss_that_is_not_by_row_is_told_with_the_shapes() -> None:
    loss = build({"target": "tests.user_models:mean_output"})
    with pytest.raises(
        ModelError,
        match=r"given outputs of shape \(4, 3\) and targets of shape \(4,\), and returned shape "
        r"\(\). Expected the loss of each row: a tensor of shape \(4,\)",
    ):
        loss(OUTPUTS, Rows(OUTPUTS, Y, None))


def test_each_task_has_its_loss() -> None:
    assert default_loss("classification") == {"name": "cross_entropy"}
    assert default_loss("regression") == {"name": "mse"}
