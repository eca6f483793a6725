"""Activation checkpointing: less is kept, and no bit changes."""

from typing import Any

import pytest
import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.build import build_model
from distrain.models.recompute import blocks, recompute_blocks
from tests.conformance_models import Recurrent, Transformer


class Counting(nn.Module):
    """A block whose outputs depend on a buffer that each forward moves."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("still", torch.ones(6))

    def forward(self, x: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        self.calls += 1.0
        outputs: torch.Tensor = self.layer(x).tanh() * self.calls.clone() * self.still * factor
        return outputs


class Repeated(nn.Module):
    """Uses one block twice, by keyword too."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Counting(), nn.Dropout(0.5), Counting()])
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in (*self.blocks, self.blocks[0]):
            x = block(x)
        outputs: torch.Tensor = self.last(self.blocks[2](x, factor=0.5))
        return outputs


def family(**spec: Any) -> nn.Module:
    shape = (1, 8, 8) if spec["name"] == "cnn" else (6,)
    return build_model(spec, input_shape=shape, num_outputs=3, seed=0)


MODELS = {
    "mlp": lambda: family(name="mlp", hidden=[8, 8], dropout=0.3, norm="batch", residual=True),
    "cnn": lambda: family(name="cnn", channels=[4, 8], hidden=[8], dropout=0.3),
    "transformer": Transformer,
    "buffers": Repeated,
}


def trained(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return gradients and buffers after a forward and a backward pass."""
    torch.manual_seed(1)
    model.train()
    loss = model(x).square().sum()
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    return {**dict(zip(parameters, gradients, strict=True)), **dict(model.named_buffers())}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_and_buffers_have_the_bits_they_have_without(name: str) -> None:
    x = torch.randn(10, 1, 8, 8) if name == "cnn" else torch.randn(10, 6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = MODELS[name]()
        torch.manual_seed(0)
        saving = MODELS[name]()
        recompute_blocks(saving)
        expected, found = trained(plain, x), trained(saving, x)
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_less_is_kept_between_the_passes() -> None:
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[-1] += tensor.numel()
        return tensor

    for change in (lambda _: None, recompute_blocks):
        model = family(name="cnn", channels=[8, 8])
        change(model)
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.train()(torch.randn(16, 1, 8, 8))
    assert kept[1] < kept[0] / 2


def test_evaluation_runs_as_it_is() -> None:
    model = Transformer().eval()
    x = torch.randn(4, 6)
    with torch.inference_mode():
        expected = model(x)
        recompute_blocks(model)
        assert torch.equal(model(x), expected)


def test_a_model_without_blocks_is_told_so() -> None:
    with pytest.raises(ModelError, match=r"model Recurrent has no blocks .* nn\.ModuleList"):
        recompute_blocks(Recurrent())


def test_a_block_is_the_outermost_member_that_has_parameters_and_a_forward() -> None:
    first, second, third = (nn.Linear(2, 2) for _ in range(3))
    nested = nn.ModuleList([nn.ModuleList([first, nn.ReLU()]), nn.Sequential(second, third)])
    assert list(blocks(nn.ModuleDict({"layers": nested}))) == [first, nested[1]]
