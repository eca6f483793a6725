"""Which rows were trained on, written from what the loader delivered.

    <run>/ledger/step-<8 digits>-rank-<rank>.parquet

Each worker writes the parts it was given. A file begins where the one before it ended and is
renamed into place before the checkpoint of the step in its name is committed; whoever takes up a
checkpoint removes the files after it. So the ledger and the training state never differ.

A file that cannot be written is lost time, not lost rows: they stay for the next one. Hence rows
that memory should not hold go to a plain file of integers first, whose good length is known, and
not to an open Parquet file, which a full disk leaves without an end.
"""

import errno
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.loader import StepBatch
from distrain.durable import replacing
from distrain.listing import has_come, paths_in
from distrain.object_store import parts
from distrain.object_store.link import link_of

FOLDER: Final = "ledger"
COLUMNS: Final = ("epoch", "step", "logical_shard", "row")
SCHEMA: Final = pa.schema([(name, pa.int64()) for name in COLUMNS])
# Rows held in memory before they are spilled, and rows of a row group.
BUFFER_ROWS: Final = 1 << 16
POLL_S: Final = 0.01
STORE_POLL_S: Final = 0.2
_NAME: Final = re.compile(r"step-(\d+)-rank-\d+\.parquet")
_ROW_BYTES: Final = 8 * len(COLUMNS)

_Rows = npt.NDArray[np.int64]


@final
class Ledger:
    """Writes a worker's share of the ledger.

    `add` and `cut` are called by the loop; `commit` may be called by another thread, between two
    cuts. Call order: `add`, any number of times; `cut`; `commit`.

    Args:
        run_dir: the run's folder.
        rank: this worker's.
        check_still_ours: asked before anything is written that others see; raises where others
            have taken over, as they may have while this worker stood still.
    """

    def __init__(
        self, run_dir: Path, rank: int, check_still_ours: Callable[[], None] = lambda: None
    ) -> None:
        self._link = link_of(run_dir)
        self._in_doubt: list[Path] = []
        self._folder = run_dir / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rank = rank
        self._check_still_ours = check_still_ours
        # A worker of this rank that was taken for lost may still be writing its own.
        self._spill_name = f".rank-{rank}-{uuid.uuid4().hex[:12]}"
        self._num_portions = 0
        self._current = self._new_portion()
        self._waiting: list[_Portion] = []

    def add(self, batch: StepBatch) -> None:
        """Enter the rows of a step that was committed; epochs and steps are counted from 1."""
        for part in batch.parts:
            rows = np.empty((len(part.indices), len(COLUMNS)), dtype=np.int64)
            rows[:, :3] = batch.epoch + 1, batch.step + 1, part.index
            rows[:, 3] = part.indices
            self._current.add(rows)

    def cut(self) -> None:
        """End the file that the next commit writes: what is added from now on is for a later one.

        No commit may be under way.
        """
        self._waiting.append(self._current)
        self._current = self._new_portion()

    def commit(self, step: int) -> None:
        """Make durable what was added before the last cut, be it nothing.

        A second call without a cut in between writes what the first could not, if anything.

        Args:
            step: committed steps; names the file.

        Raises:
            OSError: it cannot be written; its rows will be in the next commit's file.
        """
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        path = _part(self._folder, step, self._rank)
        self._remove_doubtful()
        with replacing(path) as temporary:
            with pq.ParquetWriter(temporary, SCHEMA) as writer:
                for portion in self._waiting:
                    for rows in portion.rows():
                        writer.write_table(pa.table(list(rows.T.copy()), schema=SCHEMA))
            self._check_still_ours()
        if self._link is not None:
            self._in_doubt.append(path)
            parts.put_part(self._link, path)
            self._in_doubt.clear()
        done, self._waiting = self._waiting, []
        for portion in done:
            portion.remove()

    @property
    def is_behind(self) -> bool:
        """Return whether a cut has not been committed yet."""
        return bool(self._waiting)

    def tell_failure(self, step: int) -> None:
        """Leave word for rank zero that this worker's part of a commit will not come."""
        self._check_still_ours()
        word = _failure(self._folder, step, self._rank)
        word.touch()
        if self._link is not None:
            parts.put_word(self._link, word.name)

    def _remove_doubtful(self) -> None:
        """Remove what the store may have of a commit that failed: its rows come in this one."""
        for path in self._in_doubt:
            assert self._link is not None
            parts.remove_part(self._link, path.name)
            path.unlink(missing_ok=True)

    def _new_portion(self) -> "_Portion":
        self._num_portions += 1
        return _Portion(self._folder / f"{self._spill_name}-{self._num_portions}.rows")


@final
class _Portion:
    """The rows between two cuts: the last of them in memory, the others in a file.

    Args:
        spill: the file, int64, `(rows, 4)`; made when it is needed.
    """

    def __init__(self, spill: Path) -> None:
        self._spill = spill
        self._num_spilled = 0
        self._held: list[_Rows] = []
        self._num_held = 0
        self._spill_at = BUFFER_ROWS

    def add(self, rows: _Rows) -> None:
        self._held.append(rows)
        self._num_held += len(rows)
        if self._num_held >= self._spill_at:
            self._spill_held()

    def rows(self) -> Iterator[_Rows]:
        """Give the rows in order, at most about BUFFER_ROWS at once."""
        for start in range(0, self._num_spilled, BUFFER_ROWS):
            count = min(BUFFER_ROWS, self._num_spilled - start) * len(COLUMNS)
            rows = np.fromfile(self._spill, np.int64, count, offset=start * _ROW_BYTES)
            yield rows.reshape(-1, len(COLUMNS))
        if self._held:
            yield np.concatenate(self._held)

    def remove(self) -> None:
        self._spill.unlink(missing_ok=True)

    def _spill_held(self) -> None:
        """Move what memory holds to the file; where there is no room for it, memory keeps it."""
        content = np.concatenate(self._held)
        try:
            _write_at(self._spill, content, self._num_spilled * _ROW_BYTES)
        except OSError:
            self._spill_at += BUFFER_ROWS  # a disk that stays full is told of by the commit
            return
        self._num_spilled += self._num_held
        self._held, self._num_held, self._spill_at = [], 0, BUFFER_ROWS


def await_parts(
    run_dir: Path, step: int, world_size: int, *, timeout_s: float, is_leaving: threading.Event
) -> None:
    """Wait until the parts of all workers but rank zero are there.

    Args:
        run_dir: the run's folder.
        step: committed steps; in the files' names.
        world_size: how many workers.
        timeout_s: how long to wait.
        is_leaving: ends the wait when set.

    Raises:
        OSError: a worker could not write its part, or it did not come.
    """
    folder = run_dir / FOLDER
    deadline = time.monotonic() + timeout_s
    come = _coming(run_dir, step)
    pause_s = POLL_S if link_of(run_dir) is None else STORE_POLL_S
    for rank in range(1, world_size):
        while not come(_part(folder, step, rank)):
            if come(_failure(folder, step, rank)):
                _remove_word(run_dir, _failure(folder, step, rank))
                raise OSError(f"the worker of rank {rank} could not write its part of the ledger")
            if is_leaving.wait(pause_s) or time.monotonic() > deadline:
                raise TimeoutError(f"the worker of rank {rank} wrote no part of the ledger")


def _coming(run_dir: Path, step: int) -> Callable[[Path], bool]:
    """Return what tells whether a file of a step has come; to the store, where that keeps it."""
    link = link_of(run_dir)
    if link is None:
        return has_come
    return lambda path: path.name in parts.names_of_step(link, step)


def _remove_word(run_dir: Path, path: Path) -> None:
    link = link_of(run_dir)
    if link is not None:
        parts.remove_part(link, path.name)
    path.unlink(missing_ok=True)


def remove_after(run_dir: Path, step: int) -> None:
    """Remove what the ledger holds of steps after `step`; they will be trained again."""
    link = link_of(run_dir)
    if link is not None:
        parts.remove_parts_after(link, step)
    for path in paths_in(run_dir / FOLDER):
        name = _NAME.fullmatch(path.name)
        if name is None or int(name[1]) > step:
            path.unlink()


def remove_leftovers(run_dir: Path) -> None:
    """Remove all but the parts, once every worker has written its last."""
    link = link_of(run_dir)
    if link is not None:
        parts.remove_words(link)
    for path in paths_in(run_dir / FOLDER):
        if not _NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _part(folder: Path, step: int, rank: int) -> Path:
    return folder / f"step-{step:08d}-rank-{rank}.parquet"


def _failure(folder: Path, step: int, rank: int) -> Path:
    return folder / f".step-{step:08d}-rank-{rank}.failed"


def _write_at(path: Path, content: _Rows, offset: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.pwrite(descriptor, content.data, offset) != content.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)
