"""Blocks of many sizes, permuted and gathered into windows: the order of a split that is streamed.

A block is what one task reads of the source, so that an epoch reads nothing twice. Blocks are
permuted by a keyed bijection; a window is made of those that begin, in that order, within the same
`window_rows` rows; rows are permuted by another bijection within their window. A split of up to
`window_rows` rows is a single window, in the order of `plan.py`'s single window.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt

from distrain.data.bijection import keyed_bijection

Rows = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of a training split, in the order of its rows.

    Args:
        num_rows: rows of each block, none of them 0.
        window_rows: rows of a window, less than a block's more or less.
    """

    num_rows: tuple[int, ...]
    window_rows: int

    @cached_property
    def starts(self) -> Rows:
        """Return the first row of each block, and the number of all rows, `(blocks + 1,)`."""
        return np.cumsum([0, *self.num_rows], dtype=np.int64)

    def windows(self, key: str) -> "BlockWindows":
        """Return the windows of the order that a key stands for."""
        return BlockWindows(self, key)


@final
class BlockWindows:
    """The windows of one epoch.

    Args:
        blocks: of the split.
        key: what keys the epoch's permutations.
    """

    def __init__(self, blocks: Blocks, key: str) -> None:
        self._blocks = blocks
        self._key = key
        count, total = len(blocks.num_rows), int(blocks.starts[-1])
        places = np.arange(count, dtype=np.uint64)
        is_single = total <= blocks.window_rows
        self._order = (places if is_single else keyed_bijection(places, count, key)).astype(
            np.int64
        )
        sizes = np.diff(blocks.starts)[self._order]
        # Where each block begins in the epoch's order, and where that ends.
        self._begins = np.concatenate([[0], np.cumsum(sizes)])
        self._firsts = np.flatnonzero(
            np.diff(self._begins[:-1] // blocks.window_rows, prepend=-1)
        )  # the first block of each window
        self._starts = np.append(self._begins[self._firsts], total)

    @property
    def num_windows(self) -> int:
        """Return the number of windows."""
        return len(self._firsts)

    def start_of(self, window: int) -> int:
        """Return the first position of a window; the number of rows for the one after the last."""
        return int(self._starts[min(window, self.num_windows)])

    def window_of(self, position: int) -> int:
        """Return the window of a position."""
        return int(np.searchsorted(self._starts, position, side="right")) - 1

    def numbers(self, window: int) -> list[int]:
        """Return the numbers of a window's blocks."""
        return self._order[self._places(window)].tolist()  # type: ignore[no-any-return]  # of numpy

    def spans(self, window: int) -> list[tuple[int, int]]:
        """Return (start, stop) of the rows of each block of a window."""
        starts = self._blocks.starts
        return [(int(starts[block]), int(starts[block + 1])) for block in self.numbers(window)]

    def rows(self, window: int, places: Rows) -> Rows:
        """Return the rows at some places of a window."""
        start = self.start_of(window)
        size = self.start_of(window + 1) - start
        key = f"{self._key}/rows/{window}"
        moved = keyed_bijection(places.astype(np.uint64), size, key).astype(np.int64) + start
        place = np.searchsorted(self._begins, moved, side="right") - 1
        rows: Rows = self._blocks.starts[self._order[place]] + moved - self._begins[place]
        return rows

    def _places(self, window: int) -> slice:
        """Return where a window's blocks stand in the epoch's order of blocks."""
        firsts = [*self._firsts[window : window + 2].tolist(), len(self._order)]
        return slice(firsts[0], firsts[1])
