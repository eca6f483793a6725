"""A worker's own rows of every step, read ahead in a thread and laid out for its device.

The plan says which rows a step takes and where it is cut; a worker reads only the parts it owns.
Several steps are read in one go, because a gather from many shards costs by the shard. Memory is
bounded by what is read ahead and does not grow with the dataset: shards are mapped, not loaded.
Shards on remote storage are fetched by the window of the plan: this one's and the next one's. Where
the training split is streamed, its windows come one after the other (see `streamed.py`).
"""

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, final

import numpy as np
import numpy.typing as npt
import torch

from distrain.data import plan as plans
from distrain.data.plan import Plan
from distrain.data.prepared import Split
from distrain.data.tensors import Rows, to_rows
from distrain.data.worker_parts import Outline, WorkerParts
from distrain.errors import DataError

STEPS_PER_READ: Final = 8
BYTES_PER_READ: Final = 16 * 2**20
READS_AHEAD: Final = 2
WINDOWS_AHEAD: Final = 2
# Two workers at the two ends of an epoch's last window, which may be short.
LEAST_WINDOWS: Final = 3
STOP_POLL_S: Final = 0.1

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Part:
    """One part of a step's rows.

    Attributes:
        index: which part of the step, from 0.
        indices: rows of the training split, int64, `(rows,)`.
        rows: the rows themselves.
    """

    index: int
    indices: npt.NDArray[np.int64]
    rows: Rows


@final
@dataclass(frozen=True)
class StepBatch:
    """What a worker needs for one step.

    Attributes:
        step: optimizer step, from 0.
        epoch: epoch, from 0.
        num_rows: rows of the step over all workers.
        parts: the parts this worker owns and that the step has, in order.
    """

    step: int
    epoch: int
    num_rows: int
    parts: list[Part]


@final
class Loader:
    """Delivers a worker's parts of the plan's steps, in order.

    Args:
        split: the training split.
        parts: which rows of each step are the worker's.
        device: where the batches will be used; for a GPU they are put in pinned memory.
    """

    def __init__(
        self, split: Split, parts: WorkerParts, device: torch.device | None = None
    ) -> None:
        self._split = split
        self._parts = parts
        self._pin = device is not None and device.type == "cuda"
        self._steps_per_read = _steps_per_read(split, parts)

    @contextlib.contextmanager
    def batches(self, start: int, stop: int) -> Iterator[Iterator[StepBatch]]:
        """Give the steps from `start` up to, not including, `stop`; a thread reads ahead.

        Args:
            start: first step, from 0.
            stop: step after the last.
        """
        try:
            with read_ahead(self._reads(start, stop), READS_AHEAD) as reads:
                try:
                    yield (batch for read in reads for batch in read)
                finally:
                    self._split.end()  # the thread may wait for rows
        finally:
            self._split.fetch_ahead(())

    def _reads(self, start: int, stop: int) -> Iterator[list[StepBatch]]:
        # The first read is of one step, so that training begins at once.
        plan = self._parts.plan
        window = None
        first, last = start, min(start + 1, stop)
        while first < last:
            self._split.enter(plan.window_of(first), plan.window_of(stop - 1, of_last_row=True))
            read = self._read(range(first, last))
            # What the first read needs is not held up by what is needed later.
            if plan.window_of(last - 1) != window:
                window = plan.window_of(last - 1)
                self._fetch_ahead(last - 1)
            yield read
            first, last = last, min(last + self._steps_per_read, stop)

    def _fetch_ahead(self, step: int) -> None:
        """Have the shards of a step's window fetched, and of the window after it."""
        windows = itertools.islice(self._parts.plan.spans_ahead(step), WINDOWS_AHEAD)
        self._split.fetch_ahead(itertools.chain.from_iterable(windows))

    def _read(self, steps: range) -> list[StepBatch]:
        outlines = self._parts.outlines(steps)
        indices = self._parts.indices(outlines)
        columns = self._split.take(indices) if len(indices) else {}
        return list(self._batches(outlines, indices, columns))

    def _batches(
        self,
        outlines: list[Outline],
        indices: npt.NDArray[np.int64],
        columns: dict[str, npt.NDArray[Any]],
    ) -> Iterator[StepBatch]:
        offset = 0
        for one in outlines:
            parts = [
                Part(number, indices[own], to_rows(columns, own, pin=self._pin))
                for number, own in one.pieces(offset)
            ]
            offset += one.num_own_rows
            yield StepBatch(one.step, one.epoch, one.num_rows, parts)


def check_room(train: Split, evaluated: Sequence[Split], plan: Plan, own_parts: range) -> None:
    """Refuse a bound on fetched shards in which a node's workers could wait for one another's room.

    A worker may have read ahead of another as far as memory holds, both may be about to leave a
    window, and what they evaluate comes beside.

    Args:
        train: the training split.
        evaluated: the other splits.
        plan: which rows make up which step.
        own_parts: the parts of the worker that owns the fewest: it reads furthest ahead.

    Raises:
        DataError: the bound is too small; a sufficient one is named.
    """
    fetched = [split for split in evaluated if split.max_bytes is not None]
    bounds = [split.max_bytes for split in (train, *fetched) if split.max_bytes is not None]
    if not bounds:
        return
    max_bytes, needed = min(bounds), sum(split.most_bytes(1) for split in fetched)
    if train.max_bytes is not None:  # else its rows are streamed
        steps_ahead = (READS_AHEAD + 2) * _steps_per_read(train, WorkerParts(plan, own_parts))
        rows_ahead = min(steps_ahead * plan.global_batch_size, plan.num_rows)
        needed += train.most_bytes(LEAST_WINDOWS + rows_ahead // plans.WINDOW_ROWS)
    if max_bytes < needed:
        raise DataError(
            f"{max_bytes:,} bytes are too few for this prepared dataset",
            where="data.cache.max_bytes",
            expected=f"at least {needed:,}, for the shards that are read from at a time",
            mend=f"Use data.cache.max_bytes={needed}, or more: what has room is fetched once.",
        )


@contextlib.contextmanager
def read_ahead(source: Iterator[T], depth: int) -> Iterator[Iterator[T]]:
    """Give what an iterator gives, made ahead of need in a thread that ends with the block.

    An exception of the iterator is raised where its item would have come.

    Args:
        source: what to read from; touched by the thread alone.
        depth: items kept ready.
    """
    thread = _ReadAhead(source, depth)
    thread.start()
    try:
        yield thread.items()
    finally:
        thread.stop()


class _Done:
    """Marks the end of the items, with what ended them."""

    def __init__(self, fault: BaseException | None) -> None:
        self.fault = fault


@final
class _ReadAhead(threading.Thread, Generic[T]):
    def __init__(self, source: Iterator[T], depth: int) -> None:
        super().__init__(name="distrain-loader", daemon=True)
        self._source = source
        self._queue: queue.Queue[T | _Done] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()

    def run(self) -> None:
        fault: BaseException | None = None
        try:
            for item in self._source:
                if not self._offer(item):
                    return
        except BaseException as raised:  # handed over to the thread that asks
            fault = raised
        self._offer(_Done(fault))

    def items(self) -> Iterator[T]:
        while True:
            item = self._queue.get()
            if isinstance(item, _Done):
                if item.fault is not None:
                    raise item.fault
                return
            yield item

    def stop(self) -> None:
        self._stopped.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self.join()

    def _offer(self, item: T | _Done) -> bool:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=STOP_POLL_S)
                return True
        return False


def _steps_per_read(split: Split, parts: WorkerParts) -> int:
    row_bytes = sum(
        column.width * np.dtype(column.dtype).itemsize for column in split.columns.values()
    )
    return max(1, min(STEPS_PER_READ, BYTES_PER_READ // max(1, row_bytes * parts.most_rows)))
