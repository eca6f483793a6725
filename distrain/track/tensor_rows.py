"""Rows of a model that takes tensors and no raw columns: arrays in, as its Dataset gave them.

Such a model was trained on a Dataset of the user's own. What it takes is one array, or several by
name, of the shapes and types that its transform names under `inputs`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distrain.errors import DataError

Array = npt.NDArray[Any]


def arrays_by_name(x: Any) -> dict[str, Array]:
    """Return a batch of arrays as they are named: `x`, or a dict's keys, or `x0`, `x1`, ...

    Args:
        x: one array, a tuple or a dict of arrays.
    """
    if isinstance(x, Mapping):
        return {str(name): np.asarray(value) for name, value in x.items()}
    if isinstance(x, tuple):
        return {f"x{place}": np.asarray(value) for place, value in enumerate(x)}
    return {"x": np.asarray(x)}


def batch_of(rows: Any, inputs: Mapping[str, Any]) -> Any:
    """Return what a model is fed for rows that somebody gives it.

    Args:
        rows: one array or nested list, or a dict of such by name.
        inputs: `form` and `fields`, as a transform has them.

    Raises:
        DataError: an array is missing, or of another shape or type.
    """
    form, fields = inputs["form"], inputs["fields"]
    given = rows if isinstance(rows, Mapping) else {"x": rows}
    absent = [name for name in fields if name not in given]
    if absent:
        raise DataError(
            f"{', '.join(absent)} missing",
            where="input rows",
            expected=f"a dict of arrays: {told(inputs)}",
            mend="Give all of them",
        )
    arrays = {name: _fitting(given[name], name, field) for name, field in fields.items()}
    if form == "tensor":
        return arrays["x"]
    return arrays if form == "dict" else tuple(arrays.values())


def told(inputs: Mapping[str, Any]) -> str:
    """Return what a model takes, in words."""
    return ", ".join(
        f"{name} {field['dtype']} ({', '.join(['rows', *map(str, field['shape'])])})"
        for name, field in inputs["fields"].items()
    )


def _fitting(values: Any, name: str, field: Mapping[str, Any]) -> Array:
    array, shape = np.asarray(values), tuple(field["shape"])
    fits = array.ndim == len(shape) + 1 and all(
        wanted in (-1, size) for wanted, size in zip(shape, array.shape[1:], strict=True)
    )
    if not fits or not np.can_cast(array.dtype, field["dtype"], "same_kind"):
        raise DataError(
            f"{name} is of shape {array.shape} and type {array.dtype}",
            where="input rows",
            expected=f"shape ({', '.join(['rows', *map(str, shape)])}) and type {field['dtype']}, "
            "as the Dataset gave them in training (-1: any size)",
            mend="Give rows as the Dataset gives them",
        )
    return array.astype(field["dtype"], copy=False)
