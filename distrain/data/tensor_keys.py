"""A key of each row as a model is given it: the same for rows that are the same to the model."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from distrain.data.rowkeys import mixed

Keys = npt.NDArray[np.uint64]

# 1 MiB of keys at most.
MAX_KEYS: Final = 2**17


def one_key_in(num_rows: int) -> int:
    """Return of one row in how many keys are kept, where there are so many rows."""
    return max(1, -(-num_rows // MAX_KEYS))


def kept_keys(keys: Keys, one_in: int) -> Keys:
    """Return those keys that are kept of one row in so many, sorted and each once."""
    kept: Keys = np.unique(keys[keys % np.uint64(one_in) == 0])
    return kept


def keys_of(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Keys:
    """Return each row's key, `(n,)`.

    Args:
        x: inputs as the model takes them, `(n, ...)`.
        y: targets as the loss takes them, `(n,)` or `(n, targets)`.
    """
    keys = np.zeros(len(x), dtype=np.uint64)
    for values in (x, y):
        flat = np.ascontiguousarray(values).reshape(len(x), -1)
        for words in _words(flat).T:
            keys = mixed(keys + words)
    return keys


def _words(rows: npt.NDArray[Any]) -> Keys:
    """Return the rows' bytes as whole numbers, `(n, words)`; the last is filled up with zeros."""
    # Minus zero and zero are the same to a model.
    content = (rows + 0.0 if rows.dtype.kind == "f" else rows).astype(rows.dtype).view(np.uint8)
    width = -(-content.shape[1] // 8) * 8
    padded = np.zeros((len(rows), width), dtype=np.uint8)
    padded[:, : content.shape[1]] = content
    return padded.view(np.uint64)
