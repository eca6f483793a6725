"""Which rows a model was trained on: a key of each, as the model itself is given them.

A row's key is a hash of its inputs and its target after the model's own transform. So two rows that
are the same to the model have the same key, whatever file they came from, and a model can tell of
raw rows that it never stored whether it was trained on them. Of a large split, the keys of one row
in so many are kept, the same ones for equal rows; of the others it cannot be told.

Not seen this way: a training row whose numbers were clipped (`data.clean.outliers: clip`) and whose
copy for testing was not. Of a training split that is streamed the keys were taken when it was
prepared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from distrain.data.prepared import PreparedDataset
from distrain.data.shards import KEYS_FILE
from distrain.data.tensor_keys import MAX_KEYS, Keys, kept_keys, keys_of, one_key_in
from distrain.errors import ModelError, first_line

__all__ = ["MAX_KEYS", "SEEN_ROWS", "SeenRows", "keys_of", "rows_of_streamed", "seen_rows"]

Mask = npt.NDArray[np.bool_]

SEEN_ROWS: Final = "training_rows.npy"
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
        """Return what `save` wrote; None where nothing was.

        Raises:
            ModelError: it is something else.
        """
        path = folder / SEEN_ROWS
        try:
            # Mapped, a file cannot claim more than it has.
            with np.errstate(over="ignore"):
                stored = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
            if stored.dtype != np.uint64 or stored.ndim != 1 or not stored.size or not stored[0]:
                raise ValueError(f"it holds {stored.dtype} of shape {stored.shape}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, OverflowError) as fault:
            raise ModelError(
                f"the rows that it was trained on cannot be read ({first_line(fault)})",
                where=str(path),
                expected="keys as they were saved with the model",
                mend="Take the model from the registry again, or train it again",
            ) from fault
        return cls(stored[1:], int(stored[0]))


def seen_rows(batches: Iterable[Mapping[str, npt.NDArray[Any]]], num_rows: int) -> SeenRows:
    """Return the rows of a training split; takes about 1 s for 100 MB.

    Args:
        batches: its columns `x` and `y`, some rows at a time.
        num_rows: of the split.
    """
    share = one_key_in(num_rows)
    parts = [keys_of(batch["x"], batch["y"]) for batch in batches]
    keys = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
    return SeenRows(kept_keys(keys, share), share)


def rows_of_streamed(dataset: PreparedDataset) -> SeenRows:
    """Return the rows of a training split that is streamed.

    Raises:
        DataError: the file with their keys cannot be read, or is damaged.
    """
    stored = np.frombuffer(dataset.read_small(KEYS_FILE), dtype="<u8").astype(np.uint64)
    return SeenRows(stored[1:], int(stored[0]))
