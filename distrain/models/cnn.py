"""cnn: blocks of convolution, norm, non-linearity and pooling, then fully connected layers.

On a CPU its images are laid out channels last: pooling and norms are 1.7 times as fast so (128 rows
of 28 x 28 forward and backward: 35 ms and 21 ms).
"""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.mlp import ACTIVATIONS, hidden_layer


def build_cnn(spec: Mapping[str, Any], input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """Return a convolutional network `(rows, channels, height, width) -> (rows, num_outputs)`.

    Args:
        spec: `channels` (of each block; a block halves height and width, rounding up),
            `kernel_size` (odd, as `config` has checked), `hidden`, `activation`, `dropout` (of the
            fully connected units) and `norm` after each convolution (None, batch, layer).
        input_shape: `(channels, height, width)`.
        num_outputs: classes or targets.

    Raises:
        ModelError: rows are not images.
    """
    if len(input_shape) != 3:
        raise ModelError(
            f"a cnn takes images, but rows have the shape {input_shape}",
            where="model.name",
            expected="rows of shape (channels, height, width)",
            mend="Use `mlp` or `linear` for columns of numbers and categories",
        )
    channels, height, width = input_shape
    blocks: list[nn.Module] = []
    for num_out in spec.get("channels", (32, 64)):
        blocks.append(_block(spec, channels, num_out))
        channels, height, width = num_out, -(-height // 2), -(-width // 2)
    widths = [channels * height * width, *spec.get("hidden", (128,))]
    # The norm of the section is that of the convolutions.
    layers = [
        hidden_layer({**spec, "norm": None}, num_in, num_out)
        for num_in, num_out in itertools.pairwise(widths)
    ]
    return _Network(*blocks, nn.Flatten(), *layers, nn.Linear(widths[-1], num_outputs))


class _Network(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type == "cpu":
            # `contiguous(memory_format=torch.channels_last)` leaves images of one channel as they
            # are, and the layers then take them to be channels first.
            x = torch.empty_like(x, memory_format=torch.channels_last).copy_(x)
        for layer in self:
            x = layer(x)
        return x


def _block(spec: Mapping[str, Any], num_in: int, num_out: int) -> nn.Sequential:
    size = int(spec.get("kernel_size", 3))
    norm = spec.get("norm", "batch")
    # A bias before batch norm is taken off again by it.
    parts: list[nn.Module] = [
        nn.Conv2d(num_in, num_out, size, padding=size // 2, bias=norm != "batch")
    ]
    if norm == "batch":
        parts.append(nn.BatchNorm2d(num_out))
    elif norm == "layer":
        parts.append(nn.GroupNorm(1, num_out))
    parts.append(ACTIVATIONS[spec.get("activation", "relu")]())
    parts.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*parts)
