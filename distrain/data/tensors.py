"""From arrays of prepared rows to the tensors that a model is fed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch

_TORCH_DTYPES: Final[Mapping[str, torch.dtype]] = {
    "uint8": torch.uint8,
    "int32": torch.int32,
    "int64": torch.int64,
    "float32": torch.float32,
    "float64": torch.float64,
}


@final
@dataclass(frozen=True)
class Rows:
    """Some rows as tensors.

    Attributes:
        x: inputs, `(rows, ...)`, float32 or uint8.
        y: class indices `(rows,)` int64, or standardised targets `(rows, targets)` float32.
        weight: row weights `(rows,)` float32, or None.
    """

    x: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> "Rows":
        """Return the same rows on a device; from pinned memory the copy runs alongside."""
        weight = None if self.weight is None else self.weight.to(device, non_blocking=True)
        return Rows(
            self.x.to(device, non_blocking=True), self.y.to(device, non_blocking=True), weight
        )


def to_tensor(values: npt.NDArray[Any]) -> torch.Tensor:
    """Return a copy of an array as a tensor in memory that torch aligns.

    Kernels choose their path by alignment, and another path may round otherwise; so every batch
    that a model is fed, in training, evaluation and prediction, goes through here.

    Args:
        values: any shape; its numpy dtype is kept.
    """
    tensor = torch.empty(values.shape, dtype=_TORCH_DTYPES[values.dtype.name])
    np.copyto(tensor.numpy(), values)
    return tensor


def to_rows(
    columns: Mapping[str, npt.NDArray[Any]], own: slice = slice(None), *, pin: bool = False
) -> Rows:
    """Return a run of rows as tensors of their own.

    Args:
        columns: `x`, `y` and, where given, `weight`, each of shape `(rows, ...)`.
        own: which rows.
        pin: whether to put them in pinned memory, from where copies to a GPU run alongside.
    """
    tensors = {
        name: to_tensor(columns[name][own]) for name in ("x", "y", "weight") if name in columns
    }
    if pin:
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    return Rows(tensors["x"], tensors["y"], tensors.get("weight"))
