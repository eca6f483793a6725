"""From arrays of prepared rows to the tensors that a model is fed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, final

import numpy as np
import numpy.typing as npt
import torch

T = TypeVar("T")

ALIGNMENT: Final = 64
TORCH_DTYPES: Final[Mapping[str, torch.dtype]] = {
    "bool": torch.bool,
    "int8": torch.int8,
    "int16": torch.int16,
    "float16": torch.float16,
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
        x: inputs, `(rows, ...)`, float32 or uint8; of a Dataset of the user's own whatever it
            gives: a tensor, a tuple or a dict of them, or a batch as it was collated.
        y: class indices `(rows,)` int64, or standardised targets `(rows, targets)` float32; where
            `x` is a whole batch, the numbers of its rows.
        weight: row weights `(rows,)` float32, or None.
    """

    x: Any
    y: torch.Tensor
    weight: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> "Rows":
        """Return the same rows on a device; from pinned memory the copy runs alongside."""
        weight = None if self.weight is None else self.weight.to(device, non_blocking=True)
        return Rows(moved(self.x, device), self.y.to(device, non_blocking=True), weight)


def moved(batch: Any, device: torch.device) -> Any:
    """Return a batch on a device: what is no tensor in it stays as it is."""
    return each(batch, torch.Tensor, lambda tensor: tensor.to(device, non_blocking=True))


def aligned(batch: Any) -> Any:
    """Return a batch whose tensors lie in memory as torch aligns it; see `to_tensor`."""
    return each(
        batch,
        torch.Tensor,
        lambda one: one if one.data_ptr() % ALIGNMENT == 0 else one.contiguous().clone(),
    )


def each(batch: Any, kind: type[T], change: Callable[[T], Any]) -> Any:
    """Return a batch with something else in the place of all in it that is of a kind.

    Args:
        batch: tuples, lists and dicts, within one another, of whatever there is.
        kind: the class of what is changed.
        change: gives what stands in its place.
    """
    if isinstance(batch, kind):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: each(value, kind, change) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        inner = [each(value, kind, change) for value in batch]
        return type(batch)(*inner) if hasattr(batch, "_fields") else type(batch)(inner)
    return batch


def to_tensors(values: Any) -> Any:
    """Return `to_tensor` of an array, or of each array in a tuple or a dict."""
    if isinstance(values, Mapping):
        return {name: to_tensors(one) for name, one in values.items()}
    return tuple(map(to_tensors, values)) if isinstance(values, tuple) else to_tensor(values)


def to_tensor(values: npt.NDArray[Any]) -> torch.Tensor:
    """Return a copy of an array as a tensor in memory that torch aligns.

    Kernels choose their path by alignment, and another path may round otherwise; so every batch
    that a model is fed, in training, evaluation and prediction, goes through here.

    Args:
        values: any shape; its numpy dtype is kept.
    """
    tensor = torch.empty(values.shape, dtype=TORCH_DTYPES[values.dtype.name])
    np.copyto(tensor.numpy(), values)
    return tensor


def to_rows(columns: Mapping[str, Any], own: slice = slice(None), *, pin: bool = False) -> Rows:
    """Return a run of rows as tensors of their own.

    Args:
        columns: `x`, `y` and, where given, `weight`, each of shape `(rows, ...)`; or `x` is a tuple
            or a dict of arrays, of which all rows are taken.
        own: which rows.
        pin: whether to put them in pinned memory, from where copies to a GPU run alongside.
    """
    if not isinstance(columns["x"], np.ndarray):
        return Rows(to_tensors(columns["x"]), to_tensor(columns["y"]), None)
    tensors = {
        name: to_tensor(columns[name][own]) for name in ("x", "y", "weight") if name in columns
    }
    if pin:
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    return Rows(tensors["x"], tensors["y"], tensors.get("weight"))
