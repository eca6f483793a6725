"""Which rows were trained on, written from what the loader delivered.

    <run>/ledger/step-<8 digits>-rank-<rank>.parquet

Each worker writes the parts it was given. A file begins where the one before it ended and is
renamed into place before the checkpoint of the step in its name is committed; whoever takes up a
checkpoint removes the files after it. So the ledger and the training state never differ.
"""

import re
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.loader import StepBatch
from distrain.durable import sync_file, sync_folder

FOLDER: Final = "ledger"
SCHEMA: Final = pa.schema(
    [(name, pa.int64()) for name in ("epoch", "step", "logical_shard", "row")]
)
# Rows held in memory before they go to the file.
BUFFER_ROWS: Final = 1 << 16
_NAME: Final = re.compile(r"step-(\d+)-rank-\d+\.parquet")


@final
class Ledger:
    """Writes a worker's share of the ledger.

    Args:
        run_dir: the run's folder.
        rank: this worker's.
    """

    def __init__(self, run_dir: Path, rank: int) -> None:
        self._folder = run_dir / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rank = rank
        self._partial = self._folder / f".rank-{rank}.partial"
        self._pending: list[npt.NDArray[np.int64]] = []
        self._num_pending = 0
        self._writer: Any = None

    def add(self, batch: StepBatch) -> None:
        """Enter the rows of a step that was committed; epochs and steps are counted from 1."""
        for part in batch.parts:
            rows = np.empty((4, len(part.indices)), dtype=np.int64)
            rows[0], rows[1], rows[2] = batch.epoch + 1, batch.step + 1, part.index
            rows[3] = part.indices
            self._pending.append(rows)
            self._num_pending += len(part.indices)
        if self._num_pending >= BUFFER_ROWS:
            self._write()

    def commit(self, step: int) -> None:
        """Make durable what was entered since the last commit, if anything.

        Args:
            step: committed steps; names the file.
        """
        self._write()
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        sync_file(self._partial)
        self._partial.replace(self._folder / f"step-{step:08d}-rank-{self._rank}.parquet")
        sync_folder(self._folder)

    def _write(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            import pyarrow.parquet as pq

            self._writer = pq.ParquetWriter(self._partial, SCHEMA)
        columns = np.concatenate(self._pending, axis=1)
        self._writer.write_table(pa.table(list(columns), schema=SCHEMA))
        self._pending, self._num_pending = [], 0


def remove_after(run_dir: Path, step: int) -> None:
    """Remove what the ledger holds of steps after `step`; they will be trained again."""
    for path in (run_dir / FOLDER).glob("*"):
        name = _NAME.fullmatch(path.name)
        if name is None or int(name[1]) > step:
            path.unlink()
