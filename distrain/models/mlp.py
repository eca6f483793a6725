"""mlp: fully connected layers with a non-linearity, and what the other families share with it."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import nn

ACTIVATIONS: Final[Mapping[str, type[nn.Module]]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def build_mlp(spec: Mapping[str, Any], input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """Return a multilayer perceptron `(rows, *input_shape) -> (rows, num_outputs)`.

    Args:
        spec: `hidden` (units of each layer), `activation`, `dropout`, `norm` (None, batch, layer)
            and `residual` (layers of equal width add their input to their output).
        input_shape: shape of one row; an image is flattened.
        num_outputs: classes or targets.
    """
    features = math.prod(input_shape)
    widths = [features, *spec.get("hidden", (256, 256))]
    layers = [hidden_layer(spec, num_in, num_out) for num_in, num_out in itertools.pairwise(widths)]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], num_outputs))


def hidden_layer(spec: Mapping[str, Any], num_in: int, num_out: int) -> nn.Module:
    """Return one hidden layer `(rows, num_in) -> (rows, num_out)` as an mlp's section asks."""
    parts: list[nn.Module] = [nn.Linear(num_in, num_out)]
    if spec.get("norm"):
        parts.append({"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[spec["norm"]](num_out))
    parts.append(ACTIVATIONS[spec.get("activation", "relu")]())
    if spec.get("dropout", 0):
        parts.append(nn.Dropout(spec["dropout"]))
    is_residual = bool(spec.get("residual", False)) and num_in == num_out
    return Residual(parts) if is_residual else nn.Sequential(*parts)


@final
class Residual(nn.Module):
    """Adds its input to what its layers make of it (He et al. 2016).

    Args:
        layers: layers that keep the shape.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x + layers(x)`, of the shape of `x`."""
        out: torch.Tensor = x + self.layers(x)
        return out
