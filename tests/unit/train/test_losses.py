"""Losses: a sum over rows and the weight to divide it by."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from distrain.data.tensors import Rows
from distrain.errors import ModelError
from distrain.train.losses import OutputLoss, build_loss, default_loss
from distrain.train.own_loss import OwnLoss
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


def build(spec: dict[str, Any], transform: Any = CLASSES) -> OutputLoss:
    return build_loss(
        spec, transform=transform, class_counts=lambda: COUNTS, device=torch.device("cpu")
    )


def mean_of(loss: OutputLoss, outputs: torch.Tensor, rows: Rows) -> float:
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
        ({"target": "tests.user_models:Scaled"}, "has parameters, which nothing would train"),
        (
            {"target": "torch.nn:MSELoss", "args": {"gama": 2}},
            "cannot be made with gama: TypeError",
        ),
    ],
)
def test_what_cannot_be_built_is_told(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(spec)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("first_output", float(OUTPUTS[:, 0].mean())),
        ("mean_output", float(OUTPUTS.mean())),
        ("late_rows", float(functional.cross_entropy(OUTPUTS[1:], Y[1:]))),
    ],
)
def test_a_batch_cut_anyhow_has_the_loss_of_the_whole(loss: str, expected: float) -> None:
    own = build({"target": f"tests.user_models:{loss}"})
    parts = [
        own(OUTPUTS[:1], Rows(OUTPUTS[:1], Y[:1], None)),
        own(OUTPUTS[1:], Rows(None, Y[1:], None)),
    ]
    loss_sum, weight = (sum(numbers) for numbers in zip(*parts, strict=True))
    assert float(loss_sum / weight) == pytest.approx(expected)


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"label_smoothing": 0.1},
        {"weight": [0.5, 1.0, 3.0]},
        {"weight": [0.5, 1.0, 3.0], "label_smoothing": 0.1},
        {"ignore_index": 1},
        {"reduction": "sum"},
    ],
)
def test_cross_entropy_of_torch_divides_by_the_weights_that_its_mean_divides_by(
    args: dict[str, Any],
) -> None:
    given = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in args.items()}
    expected = float(functional.cross_entropy(OUTPUTS, Y, **given))
    own = build({"target": "torch.nn:CrossEntropyLoss", "args": args})
    parts = [own(OUTPUTS[:1], Rows(None, Y[:1], None)), own(OUTPUTS[1:], Rows(None, Y[1:], None))]
    loss_sum, weight = (sum(numbers) for numbers in zip(*parts, strict=True))
    divisor = len(Y) if args == {"reduction": "sum"} else 1
    assert float(loss_sum / weight) == pytest.approx(expected / divisor)


def test_cross_entropy_of_torch_is_that_of_its_name_to_the_bit() -> None:
    rows = Rows(OUTPUTS, Y, WEIGHT)
    weights = {"low": 0.5, "mid": 1.0, "high": 3.0}
    ours = build({"name": "cross_entropy", "class_weights": weights})(OUTPUTS, rows)
    args = {"weight": list(weights.values())}
    torchs = build({"target": "torch.nn:CrossEntropyLoss", "args": args})(OUTPUTS, rows)
    assert [float(number) for number in torchs] == [float(number) for number in ours]


@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "HuberLoss"])
def test_losses_of_torch_are_those_of_their_names(name: str) -> None:
    targets = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    rows = Rows(targets, targets, torch.tensor([1.0, 3.0]))
    ours = {"MSELoss": "mse", "L1Loss": "mae", "HuberLoss": "huber"}[name]
    expected = build({"name": ours}, NUMBERS)(torch.zeros(2, 2), rows)
    found = build({"target": f"torch.nn:{name}"}, NUMBERS)(torch.zeros(2, 2), rows)
    assert [float(number) for number in found] == [float(number) for number in expected]


def test_a_class_is_made_with_its_arguments() -> None:
    own = build({"target": "tests.user_models:Focal", "args": {"gamma": 0.0}})
    expected = functional.cross_entropy(OUTPUTS, Y)
    assert mean_of(own, OUTPUTS, Rows(None, Y, None)) == pytest.approx(float(expected))


def test_a_row_s_share_of_a_mean_is_the_mean() -> None:
    own = build({"target": "tests.user_models:mean_output"})
    shares = own.by_row(OUTPUTS, Rows(None, Y, None))
    assert shares.tolist() == [pytest.approx(float(OUTPUTS.mean()))] * 4


@pytest.mark.parametrize(
    ("spec", "weight", "message"),
    [
        (
            {"target": "tests.user_models:each_output"},
            None,
            r"given outputs of shape \(4, 3\) and targets of shape \(4,\), and returned a tensor "
            r"of shape \(4, 3\). Expected the loss of each row: a tensor of shape \(4,\); or "
            r"\(sum, weight\), two numbers; or the mean over the rows",
        ),
        (
            {"target": "tests.user_models:mean_output"},
            WEIGHT,
            "in which the row weights of data.weight are not. Expected the loss of each row",
        ),
        ({"target": "tests.user_models:not_a_number"}, None, "returned a float"),
    ],
)
def test_what_else_a_loss_returns_is_told_with_the_shapes(
    spec: dict[str, Any], weight: torch.Tensor | None, message: str
) -> None:
    own = build(spec)
    with pytest.raises(ModelError, match=message):
        own(OUTPUTS, Rows(OUTPUTS, Y, weight))


def own_of(name: str) -> OwnLoss:
    own = build({"target": f"tests.user_models:{name}"})
    assert isinstance(own, OwnLoss)
    return own


@pytest.mark.parametrize(
    ("name", "assumed"),
    [("first_output", ""), ("late_rows", ""), ("mean_output", "taken as the mean over the rows")],
)
def test_what_is_assumed_of_one_number_is_told(name: str, assumed: str) -> None:
    assert assumed in own_of(name).check(OUTPUTS, Rows(None, Y, None))


def test_a_sum_where_a_mean_is_meant_is_refused() -> None:
    with pytest.raises(ModelError, match=r"twice as large .* Return \(loss, len\(targets\)\)"):
        own_of("sum_of_outputs").check(OUTPUTS, Rows(None, Y, None))


def test_each_task_has_its_loss() -> None:
    assert default_loss("classification") == {"name": "cross_entropy"}
    assert default_loss("regression") == {"name": "mse"}
