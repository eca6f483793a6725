"""A module that exists is described, and built again from that."""

import json
from collections import OrderedDict
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from distrain.errors import ModelError
from distrain.handed.describing import describe
from distrain.models.instance import built


def path_of(value: Any, where: str) -> str:
    del where
    return f"{value.__module__}:{value.__qualname__}"


def again(model: nn.Module) -> nn.Module:
    described = json.loads(json.dumps(describe(model, path_of)))
    rebuilt = built(described, __name__)
    rebuilt.load_state_dict(model.state_dict())
    return rebuilt


class Tied(nn.Module):
    """Shares a weight, keeps a buffer that is not saved, and what else modules keep."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6)
        self.decode = nn.Linear(6, 6, bias=False)
        self.decode.weight = self.encode.weight
        self.register_buffer("scale", torch.tensor([0.1, float("inf")]), persistent=False)
        self.plain = torch.arange(3)
        self.sizes: list[tuple[int, ...]] = [(1, 2), ()]
        self.named = OrderedDict(a=torch.float16, b=torch.Size([2]))
        self.activation = functional.gelu
        self.after = partial(functional.leaky_relu, negative_slope=0.25)
        self.limit = float("-inf")
        self.encode.bias.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.activation(self.decode(self.encode(x))) * self.scale[0]
        return self.after(outputs)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)), (4, 6)),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.Flatten()), (2, 1, 4, 4)),
        (nn.TransformerEncoderLayer(8, 2, batch_first=True), (2, 5, 8)),
        (Tied(), (2, 6)),
    ],
)
def test_a_module_comes_back_with_the_same_outputs(model: nn.Module, shape: tuple[int]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    rebuilt = again(model.eval())
    assert repr(rebuilt) == repr(model)
    assert torch.equal(rebuilt(x), model(x))


def test_a_recurrent_module_comes_back_trainable() -> None:
    model = nn.LSTM(3, 4, num_layers=2, batch_first=True)
    rebuilt, x = again(model), torch.randn(2, 5, 3)
    outputs = rebuilt(x)[0]
    assert torch.equal(outputs, model(x)[0])
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in rebuilt.parameters())


def test_what_is_shared_and_frozen_stays_so() -> None:
    rebuilt = again(Tied())
    assert isinstance(rebuilt, Tied)
    assert rebuilt.decode.weight is rebuilt.encode.weight
    assert not rebuilt.encode.bias.requires_grad
    assert rebuilt.named == OrderedDict(a=torch.float16, b=torch.Size([2]))
    assert torch.equal(rebuilt.plain, torch.arange(3))


def hooked() -> nn.Module:
    model = nn.Linear(2, 2)
    model.register_forward_hook(lambda *_: None)
    return model


def holding(value: Any) -> nn.Module:
    model = nn.Linear(2, 2)
    model.held = value
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (hooked(), "model Linear._forward_hooks: it holds a hook"),
        (holding(np.zeros(2)), "model Linear.held: it holds a numpy.ndarray"),
        (holding([1, {2: open}, Lock()]), r"model Linear.held\[2\]: it holds a _thread.lock"),
        (nn.Sequential(nn.LazyLinear(2)), "Sequential.0.weight: it holds a parameter without a"),
    ],
)
def test_what_cannot_be_written_down_is_told_with_its_place(model: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        describe(model, path_of)
