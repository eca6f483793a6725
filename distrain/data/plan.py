"""Which rows make up which optimizer step: a pure function of rows, batch size, seed and step.

Nothing here knows of workers, files or tensors. A step's rows are cut, in order, into parts; who
computes a part is decided elsewhere and changes nothing.

The order of an epoch is a shuffle that keeps no table: blocks of neighbouring rows are permuted by
a keyed bijection, runs of permuted blocks form windows, and rows are permuted by another bijection
within their window. Up to `WINDOW_ROWS` rows there is one window, so a full shuffle. A step costs
what its rows cost, wherever it is in the order and however many rows there are. Only integer
arithmetic is used, which gives the same bits in every version.

Where the training split is streamed, the blocks are what is read of the source in one go (see
`blocks.py`), and so of many sizes; windows are as long as its manifest says. All else is the same,
and so is the order of a split that is a single window.
"""

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from distrain.data.bijection import keyed_bijection
from distrain.data.blocks import Blocks, BlockWindows
from distrain.errors import ConfigError, DataError

EVALUATION_BATCH_ROWS: Final = 1024
# Kernels round a row in a way of their own where a batch is small or has an odd end: on a CPU with
# AVX-512, batches of 2 and of 8 rows gave other bits than one of 1,024, all multiples of 16 the
# same, wherever in the batch a row stood.
EVALUATION_ROW_MULTIPLE: Final = 32
WINDOW_ROWS: Final = 1 << 20
# About a shard: a window lies in few shards, and where they are fetched, few are fetched twice.
BLOCK_ROWS: Final = 1 << 16
PLAN_VERSION: Final = 2
# Rows computed at a time: what is between stays in a core's cache.
CHUNK_ROWS: Final = 1 << 15

Rows = npt.NDArray[np.int64]
# An epoch, from 0, and a window of its order, from 0.
WindowId = tuple[int, int]


@final
@dataclass(frozen=True)
class Plan:
    """The rows of every step of a training run.

    Args:
        num_rows: rows of the training split, at least `min_part_rows`.
        global_batch_size: rows per step; the last step of an epoch may have fewer.
        logical_shards: parts that a step's rows are cut into, at most.
        min_part_rows: fewest rows of a part: 2 for a model with batch norm, else 1.
        seed: the run's seed.
        blocks: the blocks of a split that is streamed; None: blocks of `BLOCK_ROWS`.

    Raises:
        DataError: there are fewer rows than a part needs.
        ConfigError: a batch is smaller than a part may be.
    """

    num_rows: int
    global_batch_size: int
    logical_shards: int
    min_part_rows: int
    seed: int
    blocks: Blocks | None = None

    def __post_init__(self) -> None:
        if self.num_rows < self.min_part_rows:
            raise DataError(
                f"the training split has {self.num_rows} rows",
                where="data.split",
                expected=f"at least {self.min_part_rows}",
                mend="Give more rows, or leave more of them to training",
            )
        if self.global_batch_size < self.min_part_rows:
            raise ConfigError(
                f"{self.global_batch_size} row per step, but the model has batch norm",
                where="train.global_batch_size",
                expected=f"at least {self.min_part_rows}",
                mend="Use a larger batch, or a model without batch norm",
            )

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of steps in an epoch; no row is left out."""
        full, rest = divmod(self.num_rows, self.global_batch_size)
        return full + (rest >= self.min_part_rows and rest > 0)

    @property
    def digest(self) -> str:
        """Return a SHA-256 (hex) that two plans share only if all their steps are the same."""
        fields = {"version": PLAN_VERSION, **asdict(self)}
        if self.blocks is None:
            del fields["blocks"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def position(self, global_step: int) -> tuple[int, int]:
        """Return (epoch, step in the epoch), both from 0, of a step counted from 0."""
        return divmod(global_step, self.steps_per_epoch)

    def num_rows_in(self, step_in_epoch: int) -> int:
        """Return the number of rows of a step of any epoch."""
        start, stop = self._span(step_in_epoch)
        return stop - start

    def rows(self, epoch: int, step_in_epoch: int, start: int = 0, stop: int | None = None) -> Rows:
        """Return rows of a step, in order, as indices into the training split.

        Args:
            epoch: the epoch, from 0.
            step_in_epoch: the step, from 0.
            start: first row of the step, from 0; the cost is that of the rows asked for.
            stop: row after the last; None: all.

        Returns:
            Row indices, shape `(stop - start,)`.
        """
        first, end = self._span(step_in_epoch)
        last = end if stop is None else first + stop
        positions = np.arange(first + start, min(last, end), dtype=np.int64)
        return _rows_at(self._windows(epoch), positions)

    def rows_of_pieces(self, pieces: Sequence[tuple[int, int, int]]) -> Rows:
        """Return the rows of pieces of some steps: a call for several costs less than one for each.

        Args:
            pieces: (global step, first row of the step, row after the last), in order.

        Returns:
            Row indices, one piece after the other, shape `(n,)`.
        """
        found = [np.empty(0, dtype=np.int64)]
        for epoch, group in itertools.groupby(pieces, lambda piece: self.position(piece[0])[0]):
            positions = []
            for step, start, stop in group:
                first = self._span(self.position(step)[1])[0]
                positions.append(np.arange(first + start, first + stop, dtype=np.int64))
            found.append(_rows_at(self._windows(epoch), np.concatenate(positions)))
        return np.concatenate(found)

    def parts(self, num_rows: int, wanted: range | None = None) -> list[tuple[int, int]]:
        """Return how a step of `num_rows` rows is cut: (start, stop) of each part, in order.

        There are at most `logical_shards` parts; their sizes differ by at most one row.

        Args:
            num_rows: rows of the step.
            wanted: which parts, those that the step has not left out; None: all.
        """
        count = max(1, min(self.logical_shards, num_rows // self.min_part_rows))
        numbers = range(count)[wanted.start : wanted.stop] if wanted is not None else range(count)
        return [(part * num_rows // count, (part + 1) * num_rows // count) for part in numbers]

    def window_of(self, global_step: int, *, of_last_row: bool = False) -> WindowId:
        """Return the window that a step's first row is in, or its last one."""
        epoch, step_in_epoch = self.position(global_step)
        start, stop = self._span(step_in_epoch)
        return epoch, self._windows(epoch).window_of(stop - 1 if of_last_row else start)

    def spans_ahead(self, global_step: int) -> Iterator[list[tuple[int, int]]]:
        """Yield where the rows of a window lie, from the window of a step's first row on.

        Endless: epochs follow one another.

        Args:
            global_step: the step, from 0.

        Yields:
            (start, stop) of runs of neighbouring rows, indices into the training split.
        """
        first_epoch, first_window = self.window_of(global_step)
        for epoch in itertools.count(first_epoch):
            windows = self._windows(epoch)
            for window in range(first_window, windows.num_windows):
                yield windows.spans(window)
            first_window = 0

    def _windows(self, epoch: int) -> "_Windows | BlockWindows":
        return _windows(self.num_rows, self.seed, epoch, self.blocks)

    def _span(self, step_in_epoch: int) -> tuple[int, int]:
        """Return the step's first position in its epoch's order, and that after its last."""
        if not 0 <= step_in_epoch < self.steps_per_epoch:
            raise IndexError(f"step {step_in_epoch} of an epoch of {self.steps_per_epoch} steps")
        start = step_in_epoch * self.global_batch_size
        is_last = step_in_epoch == self.steps_per_epoch - 1
        return start, self.num_rows if is_last else start + self.global_batch_size


def evaluation_batches(
    num_rows: int, batch_size: int = EVALUATION_BATCH_ROWS
) -> list[tuple[int, int]]:
    """Return how a split is cut for evaluation: (start, stop) of each batch, every row once.

    Args:
        num_rows: rows of the split.
        batch_size: rows of a batch.
    """
    starts = range(0, num_rows, batch_size)
    return [(start, min(start + batch_size, num_rows)) for start in starts]


def filled_up(num_rows: int) -> Rows:
    """Return the rows of a batch, over again until they are a multiple that kernels treat alike.

    So that the bits of a row's outputs do not depend on how many rows stand beside it.

    Args:
        num_rows: rows of the batch, at least one.

    Returns:
        Row indices, shape `(num_rows rounded up to EVALUATION_ROW_MULTIPLE,)`.
    """
    return np.arange(-(-num_rows // EVALUATION_ROW_MULTIPLE) * EVALUATION_ROW_MULTIPLE) % num_rows


@final
@dataclass(frozen=True)
class _Windows:
    """Where the windows of an epoch begin, and what is in them.

    All blocks are of `BLOCK_ROWS` rows but the last one, which may be short and lands anywhere.

    Args:
        num_rows: rows of the split.
        key: what keys the epoch's permutations.
        num_blocks: blocks of the split.
        short_position: where the last block lands among the permuted blocks.
    """

    num_rows: int
    key: str
    num_blocks: int
    short_position: int

    @property
    def num_windows(self) -> int:
        return -(-self.num_blocks // _blocks_per_window())

    @property
    def missing_rows(self) -> int:
        return self.num_blocks * BLOCK_ROWS - self.num_rows

    def start_of(self, window: int) -> int:
        if window == 0:
            return 0
        first_block = window * _blocks_per_window()
        if first_block >= self.num_blocks:
            return self.num_rows
        has_short_block_before = self.short_position < first_block
        return window * WINDOW_ROWS - has_short_block_before * self.missing_rows

    def window_of(self, position: int) -> int:
        guess = position // WINDOW_ROWS
        return guess + 1 if position >= self.start_of(guess + 1) else guess

    def rows(self, window: int, places: Rows) -> Rows:
        """Return the rows at some places of a window."""
        size = self.start_of(window + 1) - self.start_of(window)
        key = f"{self.key}/rows/{window}"
        moved = keyed_bijection(places.astype(np.uint64), size, key).astype(np.int64)
        if self.num_windows == 1:
            return moved
        blocks = _window_blocks(self, window)
        short = self.short_position - window * _blocks_per_window()
        if 0 <= short < len(blocks):
            moved[moved >= (short + 1) * BLOCK_ROWS - self.missing_rows] += self.missing_rows
        return blocks[moved // BLOCK_ROWS] * BLOCK_ROWS + moved % BLOCK_ROWS

    def spans(self, window: int) -> list[tuple[int, int]]:
        """Return (start, stop) of the rows of each block of a window."""
        if self.num_windows == 1:
            return [(0, self.num_rows)]
        starts = [int(block) * BLOCK_ROWS for block in _window_blocks(self, window)]
        return [(start, min(start + BLOCK_ROWS, self.num_rows)) for start in starts]


def windows_between(
    blocks: Blocks, seed: int, first: WindowId, last: WindowId
) -> Iterator[tuple[WindowId, list[int]]]:
    """Yield the windows of a streamed split, and the numbers of the blocks that each is made of.

    Args:
        blocks: of the split.
        seed: the run's seed.
        first: the window to begin with.
        last: the window to end with; may be of a later epoch.
    """
    for epoch in range(first[0], last[0] + 1):
        windows = blocks.windows(_order_key(seed, epoch))
        start = first[1] if epoch == first[0] else 0
        stop = last[1] + 1 if epoch == last[0] else windows.num_windows
        for window in range(start, stop):
            yield (epoch, window), windows.numbers(window)


def _rows_at(windows: "_Windows | BlockWindows", positions: Rows) -> Rows:
    """Return the rows at some positions of an epoch's order, which ascend."""
    rows = np.empty_like(positions)
    start = 0
    while start < len(positions):
        window = windows.window_of(int(positions[start]))
        beyond = int(np.searchsorted(positions, windows.start_of(window + 1)))
        end = min(beyond, start + CHUNK_ROWS)
        rows[start:end] = windows.rows(window, positions[start:end] - windows.start_of(window))
        start = end
    return rows


def _blocks_per_window() -> int:
    return WINDOW_ROWS // BLOCK_ROWS


@functools.lru_cache(maxsize=4)
def _windows(
    num_rows: int, seed: int, epoch: int, blocks: Blocks | None = None
) -> _Windows | BlockWindows:
    key = _order_key(seed, epoch)
    if blocks is not None:
        return blocks.windows(key)
    num_blocks = -(-num_rows // BLOCK_ROWS)
    if num_rows <= WINDOW_ROWS:
        return _Windows(num_rows, key, num_blocks, num_blocks - 1)
    last = np.array([num_blocks - 1], dtype=np.uint64)
    position = keyed_bijection(last, num_blocks, key, inverse=True)
    return _Windows(num_rows, key, num_blocks, int(position[0]))


def _order_key(seed: int, epoch: int) -> str:
    return f"order/{seed}/{epoch}"


@functools.lru_cache(maxsize=4)
def _window_blocks(windows: _Windows, window: int) -> Rows:
    first = window * _blocks_per_window()
    last = min(first + _blocks_per_window(), windows.num_blocks)
    positions = np.arange(first, last, dtype=np.uint64)
    return keyed_bijection(positions, windows.num_blocks, windows.key).astype(np.int64)
