"""linear: one affine map from all features to the outputs."""

import math
from collections.abc import Mapping
from typing import Any

from torch import nn


def build_linear(
    spec: Mapping[str, Any], input_shape: tuple[int, ...], num_outputs: int
) -> nn.Module:
    """Return a linear model `(rows, *input_shape) -> (rows, num_outputs)`.

    Args:
        spec: the model section; it has no settings beside its name.
        input_shape: shape of one row.
        num_outputs: classes or targets.
    """
    del spec
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_outputs))
