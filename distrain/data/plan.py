"""Which rows make up which optimizer step: a pure function of rows, batch size, seed and step.

Nothing here knows of workers, files or tensors. A step's rows are cut, in order, into parts; who
computes a part is decided elsewhere and changes nothing.

The order of an epoch is a shuffle that never holds more than a window of rows in memory: blocks of
neighbouring rows are permuted by a keyed bijection, runs of permuted blocks form windows, and rows
are permuted within their window. Up to `WINDOW_ROWS` rows there is one window, so a full shuffle.
Only raw generator output and integer sorting are used, which give the same bits in every version.
"""

import functools
import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from distrain.errors import ConfigError, DataError

EVALUATION_BATCH_ROWS: Final = 1024
WINDOW_ROWS: Final = 1 << 20
# A window of 64 blocks lies in at most 128 shards: few enough to keep mapped, and to read in runs.
BLOCK_ROWS: Final = 1 << 14
PLAN_VERSION: Final = 1
FEISTEL_ROUNDS: Final = 6

Rows = npt.NDArray[np.int64]


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

    Raises:
        DataError: there are fewer rows than a part needs.
        ConfigError: a batch is smaller than a part may be.
    """

    num_rows: int
    global_batch_size: int
    logical_shards: int
    min_part_rows: int
    seed: int

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
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def position(self, global_step: int) -> tuple[int, int]:
        """Return (epoch, step in the epoch), both from 0, of a step counted from 0."""
        return divmod(global_step, self.steps_per_epoch)

    def rows(self, epoch: int, step_in_epoch: int) -> Rows:
        """Return the rows of a step, in order, as indices into the training split, shape `(n,)`."""
        if not 0 <= step_in_epoch < self.steps_per_epoch:
            raise IndexError(f"step {step_in_epoch} of an epoch of {self.steps_per_epoch} steps")
        start = step_in_epoch * self.global_batch_size
        is_last = step_in_epoch == self.steps_per_epoch - 1
        stop = self.num_rows if is_last else start + self.global_batch_size
        return epoch_order(self.num_rows, self.seed, epoch, start, stop)

    def parts(self, num_rows: int) -> list[tuple[int, int]]:
        """Return how a step of `num_rows` rows is cut: (start, stop) of each part, in order.

        There are at most `logical_shards` parts; their sizes differ by at most one row.
        """
        count = max(1, min(self.logical_shards, num_rows // self.min_part_rows))
        bounds = [part * num_rows // count for part in range(count + 1)]
        return list(itertools.pairwise(bounds))


def evaluation_batches(
    num_rows: int, batch_size: int = EVALUATION_BATCH_ROWS, min_rows: int = 2
) -> list[tuple[int, int]]:
    """Return how a split is cut for evaluation: (start, stop) of each batch, every row once.

    Args:
        num_rows: rows of the split.
        batch_size: rows of a batch.
        min_rows: a last batch of fewer rows joins the batch before it, if there is one.
    """
    starts = list(range(0, num_rows, batch_size))
    if len(starts) > 1 and num_rows - starts[-1] < min_rows:
        starts.pop()
    return list(zip(starts, [*starts[1:], num_rows], strict=True)) if starts else []


def epoch_order(num_rows: int, seed: int, epoch: int, start: int, stop: int) -> Rows:
    """Return the rows at positions `start` to `stop` of an epoch's shuffled order.

    Args:
        num_rows: rows of the training split.
        seed: the run's seed.
        epoch: the epoch, from 0.
        start: first position.
        stop: position after the last.

    Returns:
        Row indices, shape `(stop - start,)`.
    """
    layout = _window_layout(num_rows, seed, epoch)
    pieces = [np.empty(0, dtype=np.int64)]
    while start < stop:
        window = layout.window_of(start)
        offset = layout.start_of(window)
        end = min(stop, layout.start_of(window + 1))
        pieces.append(_window_rows(layout, window)[start - offset : end - offset])
        start = end
    return np.concatenate(pieces)


@dataclass(frozen=True)
class _WindowLayout:
    """Where the windows of an epoch begin.

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
    def missing_rows(self) -> int:
        return self.num_blocks * BLOCK_ROWS - self.num_rows

    def start_of(self, window: int) -> int:
        if window == 0:
            return 0
        first_block = window * (WINDOW_ROWS // BLOCK_ROWS)
        if first_block >= self.num_blocks:
            return self.num_rows
        has_short_block_before = self.short_position < first_block
        return window * WINDOW_ROWS - has_short_block_before * self.missing_rows

    def window_of(self, position: int) -> int:
        guess = position // WINDOW_ROWS
        return guess + 1 if position >= self.start_of(guess + 1) else guess


@functools.lru_cache(maxsize=4)
def _window_layout(num_rows: int, seed: int, epoch: int) -> _WindowLayout:
    key = f"order/{seed}/{epoch}"
    num_blocks = -(-num_rows // BLOCK_ROWS)
    if num_rows <= WINDOW_ROWS:
        return _WindowLayout(num_rows, key, num_blocks, num_blocks - 1)
    last = np.array([num_blocks - 1], dtype=np.uint64)
    position = keyed_bijection(last, num_blocks, key, inverse=True)
    return _WindowLayout(num_rows, key, num_blocks, int(position[0]))


@functools.lru_cache(maxsize=2)
def _window_rows(layout: _WindowLayout, window: int) -> Rows:
    if layout.num_rows <= WINDOW_ROWS:
        return permutation(layout.num_rows, f"{layout.key}/rows/0")
    per_window = WINDOW_ROWS // BLOCK_ROWS
    last = min((window + 1) * per_window, layout.num_blocks)
    positions = np.arange(window * per_window, last, dtype=np.uint64)
    blocks = keyed_bijection(positions, layout.num_blocks, layout.key).astype(np.int64)
    rows = (blocks[:, None] * BLOCK_ROWS + np.arange(BLOCK_ROWS)).ravel()
    rows = rows[rows < layout.num_rows]
    return rows[permutation(len(rows), f"{layout.key}/rows/{window}")]


def permutation(count: int, key: str) -> Rows:
    """Return a permutation of `range(count)` that depends on (count, key) alone, shape `(count,)`.

    Random high bits are put before each index, and the sum is sorted.
    """
    mask = np.uint64((1 << max(1, (count - 1).bit_length())) - 1)
    raw = np.random.Philox(key=_hash(key, 16)).random_raw(count)
    keyed = (raw & ~mask) | np.arange(count, dtype=np.uint64)
    keyed.sort()
    return (keyed & mask).astype(np.int64)


def keyed_bijection(
    values: npt.NDArray[np.uint64], size: int, key: str, *, inverse: bool = False
) -> npt.NDArray[np.uint64]:
    """Return the images of some values under a keyed permutation of `range(size)`.

    A Feistel network over the next even number of bits; what falls outside walks on until it is
    inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). Needs no table.

    Args:
        values: numbers below `size`, shape `(n,)`.
        size: size of the domain, at least 1.
        key: which permutation.
        inverse: whether to go backwards.
    """
    half = max(1, -(-(size - 1).bit_length() // 2))
    keys = [np.uint64(_hash(f"{key}/{number}", 8)) for number in range(FEISTEL_ROUNDS)]
    moved = _feistel(values, half, keys, inverse)
    while (outside := moved >= size).any():
        moved[outside] = _feistel(moved[outside], half, keys, inverse)
    return moved


def _feistel(
    values: npt.NDArray[np.uint64], half: int, keys: list[np.uint64], inverse: bool
) -> npt.NDArray[np.uint64]:
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> shift, values & mask
    if inverse:
        left, right = right, left
    for key in reversed(keys) if inverse else keys:
        left, right = right, left ^ (_mix(right, key) & mask)
    if inverse:
        left, right = right, left
    return (left << shift) | right


def _mix(values: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    # The finaliser of splitmix64 (Steele, Lea and Flood, 2014).
    mixed = values ^ key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _hash(text: str, num_bytes: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:num_bytes], "little")
