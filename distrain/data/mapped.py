"""The rows of one split, by number, copied out of mapped shards.

Shards are mapped when first touched, so all processes of a node share one copy in the page cache.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, final

import numpy as np
import numpy.typing as npt

from distrain.data import plan
from distrain.data.shard_content import columns_of, unreadable
from distrain.data.shard_files import ShardFiles
from distrain.data.shards import Array, Column, Shard

# Each mapping holds a file descriptor, and 1,024 is a common limit for a process.
MAX_MAPPED_SHARDS: Final = 256
SHARDS_AT_ONCE: Final = 128


@final
class Split:
    """The rows of one split, by number.

    Args:
        files: where its shards are mapped from.
        shards: its shards, in order.
        columns: its columns by name.
    """

    def __init__(
        self, files: ShardFiles, shards: Sequence[Shard], columns: Mapping[str, Column]
    ) -> None:
        self.shards: tuple[Shard, ...] = tuple(shards)
        self.columns: dict[str, Column] = dict(columns)
        self._files = files
        self._starts = np.cumsum([0, *(shard.num_rows for shard in self.shards)], dtype=np.int64)
        self._mapped: OrderedDict[int, dict[str, Array]] = OrderedDict()

    @property
    def batch_rows(self) -> int:
        """Return the rows of a batch in evaluation."""
        return plan.EVALUATION_BATCH_ROWS

    @property
    def num_rows(self) -> int:
        """Return the number of rows."""
        return int(self._starts[-1])

    def take(self, indices: npt.NDArray[np.int64]) -> dict[str, Array]:
        """Return copies of some rows, in the order asked for.

        Args:
            indices: row numbers in [0, num_rows), any order, repeats allowed, shape `(n,)`.

        Returns:
            Column name to array of shape `(n, *shape)`.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        self._check_range(wanted)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        rows = self._empty(len(wanted))
        touched, bounds = np.unique(
            np.searchsorted(self._starts, ordered, side="right") - 1, return_index=True
        )
        parts = zip(bounds.tolist(), [*bounds.tolist()[1:], len(wanted)], strict=False)
        # Ascending numbers read each shard once and front to back; `order` puts rows in place.
        for (shard, source), ends in zip(self._map(touched.tolist()), parts, strict=True):
            part = slice(*ends)
            local = ordered[part] - self._starts[shard]
            for name, values in source.items():
                rows[name][order[part]] = values[local]
        return self._shaped(rows)

    def slice(self, start: int, stop: int) -> dict[str, Array]:
        """Return copies of the rows from `start` up to, not including, `stop`.

        Returns:
            Column name to array of shape `(stop - start, *shape)`.
        """
        if not 0 <= start <= stop <= self.num_rows:
            raise IndexError(f"rows {start} to {stop} of a split of {self.num_rows}")
        rows = self._empty(stop - start)
        if start == stop:
            return self._shaped(rows)
        first, end = self._shards_between(start, stop)
        following = min(end + 1, len(self.shards))
        self.fetch_ahead([(start, int(self._starts[following]))])
        for shard, source in self._map(range(first, end)):
            offset = int(self._starts[shard])
            low, high = max(start, offset), min(stop, int(self._starts[shard + 1]))
            for name, values in source.items():
                rows[name][low - start : high - start] = values[low - offset : high - offset]
        return self._shaped(rows)

    def slices(self, bounds: Sequence[tuple[int, int]]) -> Iterator[dict[str, Array]]:
        """Yield what `slice` returns for several bounds."""
        return (self.slice(start, stop) for start, stop in bounds)

    def fetch_ahead(self, spans: Iterable[tuple[int, int]]) -> None:
        """Begin to fetch the shards that hold some rows, where shards are fetched at all.

        What an earlier call asked for and is not there yet is no longer fetched, and other shards
        are given up: they may be evicted.

        Args:
            spans: (start, stop) of runs of rows, in the order in which they will be needed.
        """
        numbers = dict.fromkeys(
            number for span in spans for number in range(*self._shards_between(*span))
        )
        if self._files.is_mapping_costly:
            for number in self._mapped.keys() - numbers.keys():
                del self._mapped[number]
        self._files.fetch_ahead([self.shards[number] for number in numbers])

    def enter(self, window: plan.WindowId, last: plan.WindowId) -> None:
        """Begin to read in a window of the plan, of which `last` is the last; see `ShardFiles`."""
        self._files.enter(window, last)

    def end(self) -> None:
        """Read no more; may be called while another thread reads, which then fails."""
        self._files.end()

    @property
    def max_bytes(self) -> int | None:
        """Return how many bytes of fetched shards the node may hold; None: any number."""
        return self._files.max_bytes

    def most_bytes(self, num_windows: int) -> int:
        """Return the most bytes of the shards that so many windows of the plan can lie in."""
        sizes = np.cumsum([0, *(shard.num_bytes for shard in self.shards)])
        blocks = np.arange(0, self.num_rows, plan.BLOCK_ROWS)
        ends = np.minimum(blocks + plan.BLOCK_ROWS, self.num_rows)
        first = np.searchsorted(self._starts, blocks, side="right") - 1
        last = np.searchsorted(self._starts, ends, side="left")
        touched = np.sort(sizes[last] - sizes[first])
        at_a_time = num_windows * (plan.WINDOW_ROWS // plan.BLOCK_ROWS)
        return int(min(touched[-at_a_time:].sum(), sizes[-1]))

    def _shards_between(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first shard that holds some of the rows, and the one after the last."""
        if start == stop:
            return 0, 0
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        return first, int(np.searchsorted(self._starts, stop, side="left"))

    def _check_range(self, wanted: npt.NDArray[np.int64]) -> None:
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.num_rows):
            raise IndexError(
                f"row numbers {wanted.min()} to {wanted.max()} of a split of {self.num_rows}"
            )

    def _empty(self, num_rows: int) -> dict[str, Array]:
        return {
            name: np.empty((num_rows, column.width), dtype=column.dtype)
            for name, column in self.columns.items()
        }

    def _shaped(self, rows: dict[str, Array]) -> dict[str, Array]:
        return {
            name: values.reshape(len(values), *self.columns[name].shape)
            for name, values in rows.items()
        }

    def _map(self, numbers: Sequence[int]) -> Iterator[tuple[int, dict[str, Array]]]:
        """Yield shards as read-only arrays of shape `(rows, width)` on mapped memory."""
        for start in range(0, len(numbers), SHARDS_AT_ONCE):
            group = numbers[start : start + SHARDS_AT_ONCE]
            self._map_missing([number for number in group if number not in self._mapped])
            for number in group:
                self._mapped.move_to_end(number)
                yield number, self._mapped[number]
            while len(self._mapped) > MAX_MAPPED_SHARDS:
                self._mapped.popitem(last=False)

    def _map_missing(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        shards = [self.shards[number] for number in numbers]
        try:
            buffers = self._files.map(shards)
        except OSError as fault:
            raise unreadable(self._files.place_of(shards[0]), fault) from fault
        for number, shard, buffer in zip(numbers, shards, buffers, strict=True):
            place = self._files.place_of(shard)
            self._mapped[number] = columns_of(buffer, self.columns, place, shard.num_rows)
