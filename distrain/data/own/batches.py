"""What a Dataset's batch holds: inputs and targets, and whether these are classes or numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import torch

from distrain.data.tensors import TORCH_DTYPES, Rows, aligned
from distrain.errors import DataError, did_you_mean

TARGET_KEYS: Final = ("y", "label", "labels", "target", "targets")


@final
@dataclass(frozen=True)
class BatchForm:
    """How rows come out of a batch.

    Args:
        name: what the Dataset is called in messages.
        task: `classification` or `regression`.
        num_classes: of a classification, else 0.
        key: of the target, where batches are dicts; else None.
    """

    name: str
    task: str
    num_classes: int
    key: str | None

    def rows(self, batch: Any, num_rows: int) -> Rows:
        """Return the rows of a batch, in memory as torch aligns it.

        Raises:
            DataError: it is no pair of inputs and targets, has another number of rows, or a target
                is no class.
        """
        x, y = pair_of(batch, self.key, self.name)
        targets = self._targets(y, num_rows)
        return Rows(aligned(x), aligned(targets), None)

    def _targets(self, y: Any, num_rows: int) -> torch.Tensor:
        kind = kind_of_target(y, self.name)
        if len(y) != num_rows:
            raise DataError(
                f"a batch of {num_rows} items has {len(y)} targets",
                where=self.name,
                expected="one for each item",
                mend="Correct data.collate, or what __getitem__ gives as its target",
            )
        if self.task == "regression":
            return torch.as_tensor(y).reshape(num_rows, -1).to(torch.float32)
        if kind != "classification":
            raise no_classes(y, self.name)
        classes = torch.as_tensor(y).reshape(num_rows).to(torch.int64)
        low, high = (int(end) for end in classes.aminmax())
        if low < 0 or high >= self.num_classes:
            raise DataError(
                f"a target is {low if low < 0 else high}",
                where=self.name,
                expected=f"a class from 0 to {self.num_classes - 1}",
                mend="Correct the Dataset, or set data.num_classes",
            )
        return classes


def target_key_of(batch: Any, asked: str | None, name: str) -> str | None:
    """Return the key of the target in a batch; None where it is no dict.

    Args:
        batch: as collated.
        asked: `data.target`; None: one of the usual names.
        name: what the Dataset is called in messages.

    Raises:
        DataError: it is not there.
    """
    if not isinstance(batch, Mapping):
        return None
    keys = [str(key) for key in batch]
    found = asked or next((key for key in TARGET_KEYS if key in keys), None)
    if found is None or found not in keys:
        told = "no key of the usual names" if found is None else f"no key {found!r}"
        raise DataError(
            f"its items are dicts with {told}",
            where=f"data.target, in {name}",
            expected="the key of what is to be predicted",
            mend=did_you_mean(found or "y", keys, listed="Keys"),
        )
    return found


def pair_of(batch: Any, key: str | None, name: str) -> tuple[Any, Any]:
    """Return the inputs and the targets of a batch.

    Args:
        batch: as collated: (x, y), a tuple that ends with y, or a dict.
        key: of the target in a dict.
        name: what the Dataset is called in messages.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(batch, Mapping) and key is not None and key in batch:
        x = {str(one): value for one, value in batch.items() if one != key}
        return x, batch[key]
    if isinstance(batch, tuple | list) and len(batch) >= 2:
        return (batch[0] if len(batch) == 2 else tuple(batch[:-1])), batch[-1]
    raise DataError(
        f"a batch is {_told(batch)}",
        where=name,
        expected="(x, y), a tuple that ends with y, or a dict with y in it",
        mend="Let __getitem__ give its inputs and its target, or give train.step, which takes "
        "batches as they are",
    )


def kind_of_target(y: Any, name: str) -> str:
    """Return `classification` for whole numbers, one for each row, else `regression`.

    Raises:
        DataError: these are no targets that a loss of rows takes.
    """
    if isinstance(y, torch.Tensor) and y.ndim >= 1:
        is_one = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
        if is_one and not (y.is_floating_point() or y.is_complex()):
            return "classification"
        if y.is_floating_point() and y.ndim <= 2:
            return "regression"
    raise DataError(
        f"the targets of a batch are {_told(y)}",
        where=name,
        expected="a class or a number for each row, or several numbers: (rows,) or (rows, targets)",
        mend="Let __getitem__ give such a target, or give train.step, which takes batches as they "
        "are",
    )


def no_classes(y: Any, name: str) -> DataError:
    """Return the error of targets that are no classes."""
    return DataError(
        f"the targets are {_told(y)}",
        where=name,
        expected="whole numbers from 0, the class of each item",
        mend="Let __getitem__ give an int, or set data.task to regression",
    )


def form_of(x: Any, name: str) -> tuple[str, dict[str, torch.Tensor]]:
    """Return whether inputs are a `tensor`, a `tuple` or a `dict`, and their tensors by name.

    Raises:
        DataError: they hold something else than tensors, or such of a type that is not kept.
    """
    named: dict[str, Any]
    if isinstance(x, torch.Tensor):
        form, named = "tensor", {"x": x}
    elif isinstance(x, Mapping):
        form, named = "dict", {str(key): value for key, value in x.items()}
    else:
        form, named = "tuple", {f"x{place}": value for place, value in enumerate(x)}
    for key, value in named.items():
        if not isinstance(value, torch.Tensor):
            raise DataError(
                f"{key} of a batch is {_told(value)}",
                where=name,
                expected="tensors alone beside the target",
                mend="Leave it out of what __getitem__ gives, or turn it into a number",
            )
        if value.dtype not in TORCH_DTYPES.values():
            raise DataError(
                f"{key} of a batch is {_told(value)}",
                where=name,
                expected=f"one of the types {', '.join(TORCH_DTYPES)}",
                mend="Convert it in __getitem__, e.g. by .float()",
            )
    return form, named


def fields_of(tensors: Mapping[str, torch.Tensor], *, is_padded: bool) -> dict[str, Any]:
    """Return what rows hold, as a transform has it: type and shape of each tensor by name.

    Args:
        tensors: of some rows.
        is_padded: whether other rows may have other shapes.
    """
    return {
        name: {
            "dtype": str(tensor.numpy().dtype),
            "shape": [-1 if is_padded else int(size) for size in tensor.shape[1:]],
        }
        for name, tensor in tensors.items()
    }


def same_values(one: Any, other: Any) -> bool:
    """Return whether two batches hold the same bits."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same_values(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same_values, one, other))
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and bool(torch.equal(_as_bits(one), _as_bits(other)))
    return bool(one == other)


def as_arrays(x: Any) -> Any:
    """Return tensors as numpy arrays of the same memory, in the form that they have."""
    if isinstance(x, torch.Tensor):
        return x.numpy()
    if isinstance(x, Mapping):
        return {key: as_arrays(value) for key, value in x.items()}
    return tuple(map(as_arrays, x))


def _as_bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


def _told(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"a tensor of shape {tuple(value.shape)} and type {kind}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
