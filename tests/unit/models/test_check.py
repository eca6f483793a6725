"""The first batch, tried before anything is launched."""

import pytest
import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.build import build_model
from distrain.models.check import try_batch
from distrain.models.weights import weights_sha256

X = torch.rand(2, 6)


def loss(outputs: torch.Tensor) -> torch.Tensor:
    return outputs.square().sum()


def test_a_fitting_model_passes_and_is_left_as_it_was() -> None:
    model = build_model({"name": "mlp", "norm": "batch"}, input_shape=(6,), num_outputs=3, seed=0)
    before = weights_sha256(model.eval())
    try_batch(model, X, num_outputs=3, loss=loss)
    assert weights_sha256(model) == before
    assert not model.training


@pytest.mark.parametrize(
    ("target", "args", "message"),
    [
        ("TwoLayers", {"features": 5}, r"x of shape \(2, 6\) and type float32: RuntimeError"),
        (
            "TwoLayers",
            {"features": 6, "outputs": 4},
            r"given x of shape \(2, 6\) and type float32 and returned shape \(2, 4\). "
            r"Expected a tensor of shape \(2, 3\)",
        ),
        ("NamesInsteadOfScores", {"features": 6}, r"returned shape \(2,\)"),
        ("Frozen", {}, "no parameter to train"),
        ("Doubles", {}, "parameter layers.0.weight is of type float64. Expected float32"),
    ],
)
def test_a_misfit_is_told_with_both_shapes(target: str, args: dict[str, int], message: str) -> None:
    model = build_model(
        {"target": f"tests.user_models:{target}", "args": args},
        input_shape=(6,),
        num_outputs=3,
        seed=0,
    )
    with pytest.raises(ModelError, match=message):
        try_batch(model, X, num_outputs=3, loss=loss)


def test_a_failing_loss_is_told_with_the_outputs_shape() -> None:
    def fails(_outputs: torch.Tensor) -> torch.Tensor:
        raise ValueError("no")

    with pytest.raises(ModelError, match=r"the loss failed on outputs of shape \(2, 3\).*no"):
        try_batch(nn.Linear(6, 3), X, num_outputs=3, loss=fails)


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(4, 3, sparse=True)
    with pytest.raises(ModelError, match="a gradient is sparse"):
        try_batch(table, torch.tensor([0, 1]), num_outputs=3, loss=loss)
