"""Which rows a model was trained on: a key of each, as the model itself is given them.

A row's key is a hash of its inputs and its target after the model's own transform. So two rows that
are the same to the model have the same key, whatever file they came from, and a model can tell of
raw rows that it never stored whether it was trained on them. Of a large split, the keys of one row
in so many are kept, the same ones for equal rows; of the others it cannot be told.

Not seen this way: a training row whose numbers were clipped (`data.clean.outliers: clip`) and whose
copy for testing was not. Of a training split that is streamed no keys are kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from distrain.data.rowkeys import mixed

Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

SEEN_ROWS: Final = "training_rows.npy"
# 1 MiB of keys at most.
MAX_KEYS: Final = 2**17
BATCH_ROWS: Final = 65_536


@final
@dataclass(frozen=True)
class SeenRows:
    """The rows that a model was trained on.

    Args:
        keys: sorted, each once, `(n,)`; only those that `one_in` divides.
        one_in: keys were kept of one row in so many.
    """

    keys: Keys
    one_in: int

    def find(self, keys: Keys) -> tuple[Mask, Mask]:
        """Return which rows were trained on, and of which that can be told, `(n,)` each."""
        return np.isin(keys, self.keys), keys % np.uint64(self.one_in) == 0

    def save(self, folder: Path) -> None:
        """Write them into a packaged model's folder."""
        np.save(folder / SEEN_ROWS, np.r_[np.uint64(self.one_in), self.keys], allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "SeenRows | None":
        """Return what `save` wrote; None where nothing was."""
        try:
            stored = np.load(folder / SEEN_ROWS, allow_pickle=False)
        except FileNotFoundError:
            return None
        return cls(stored[1:], int(stored[0]))


def seen_rows(batches: Iterable[Mapping[str, npt.NDArray[Any]]], num_rows: int) -> SeenRows:
    """Return the rows of a training split; takes about 1 s for 100 MB.

    Args:
        batches: its columns `x` and `y`, some rows at a time.
        num_rows: of the split.
    """
    one_in = max(1, -(-num_rows // MAX_KEYS))
    parts = [keys_of(batch["x"], batch["y"]) for batch in batches]
    keys = np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *parts]))
    return SeenRows(keys[keys % np.uint64(one_in) == 0], one_in)


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
