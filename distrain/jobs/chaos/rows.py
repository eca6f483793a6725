"""Which rows a run was trained on, by its ledger, beside those of another run."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from distrain.train.ledger import FOLDER

_ROW_BITS: Final = 44  # of a key of 64: rows of an epoch below 10^13, epochs below 10^5

Rows = npt.NDArray[np.int64]


def trained_rows(run_dir: Path) -> Rows:
    """Return a key for each row of each epoch, sorted, shape `(rows,)`; one that repeats is twice.

    Args:
        run_dir: the folder of a run with `train.ledger: true`.
    """
    ledger = pq.read_table(run_dir / FOLDER, columns=["epoch", "row"])
    epochs, rows = (ledger[name].to_numpy() for name in ("epoch", "row"))
    keys: Rows = np.sort((epochs << _ROW_BITS) | rows)
    return keys


def rows_repeated(rows: Rows, expected: Rows) -> int:
    """Return how many rows were trained on again in their epoch, or in one that has them not."""
    return len(rows) - len(np.intersect1d(rows, expected))


def rows_missing(rows: Rows, expected: Rows) -> int:
    """Return how many of the expected rows were not trained on."""
    return len(np.setdiff1d(expected, rows))
