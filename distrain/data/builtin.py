"""Data sets that come with scikit-learn, as tables: `sklearn:digits` and its like.

The target column is `target`. digits has the column `image`, uint8 of shape (1, 8, 8).
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa

from distrain.errors import DataError, did_you_mean

BUILT_IN_PREFIX: Final = "sklearn:"
NAMES: Final = ("breast_cancer", "diabetes", "digits", "iris", "wine")
IMAGE_SHAPES: Final[dict[str, tuple[int, int, int]]] = {"digits": (1, 8, 8)}


def check_built_in(name: str) -> None:
    """Raise a DataError unless a built-in data set has this name.

    Raises:
        DataError: there is no such data set.
    """
    if name.removeprefix(BUILT_IN_PREFIX) not in NAMES:
        names = [BUILT_IN_PREFIX + known for known in NAMES]
        raise DataError(
            "no such built-in data set",
            where=f"data.source = {name}",
            expected="one that comes with scikit-learn and needs no download",
            mend=did_you_mean(name, names, listed="There are"),
        )


def library_version() -> str:
    """Return scikit-learn's version, which stands for the content of its data sets."""
    from importlib.metadata import version

    return version("scikit-learn")


def load_built_in(name: str) -> tuple[pa.Table, str]:
    """Return a built-in data set as a table, and the SHA-256 (hex) of its content."""
    from sklearn import datasets

    short = name.removeprefix(BUILT_IN_PREFIX)
    load: Callable[[], Any] = getattr(datasets, f"load_{short}")
    loaded = load()
    if short in IMAGE_SHAPES:
        columns = {"image": _images(loaded.data.astype(np.uint8))}
    else:
        columns = {
            str(column): pa.array(np.ascontiguousarray(loaded.data[:, index], dtype=np.float64))
            for index, column in enumerate(loaded.feature_names)
        }
    kind = np.float64 if short == "diabetes" else np.int64
    columns["target"] = pa.array(loaded.target.astype(kind))
    content = hashlib.sha256()
    for array in (loaded.data, loaded.target):
        content.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return pa.table(columns), content.hexdigest()


def _images(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(pixels).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, pixels.shape[1])
