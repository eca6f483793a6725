"""The rows of a training split that is streamed: windows of the plan that come one after the other.

    a feed makes the shards of a window, from the position of the run on, ahead of need
    a worker takes rows out of the windows that it reads in, holds the one that comes next, and
        lets go of those that lie behind

The shards are those that would have been written (see `recipe.py`), so all that takes rows out of
them is the same. Rows lie anywhere in their window: a worker needs each shard of it, though not
each row. Workers of one node share the memory that a shard is in; every node fetches the whole
split once an epoch, as it does where prepared shards lie on remote storage.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, final

import pyarrow as pa

from distrain.data.mapped import Split
from distrain.data.plan import WindowId, windows_between
from distrain.data.recipe import Streamed
from distrain.data.shard_files import ShardFiles
from distrain.data.shards import Shard

_BEFORE_ALL: Final[WindowId] = (-1, 0)


@final
@dataclass(frozen=True)
class Delivery:
    """A window that has come.

    Attributes:
        window: which one.
        shards: the content of its shards, by name.
    """

    window: WindowId
    shards: Mapping[str, pa.Buffer]


class Feed(ABC):
    """Where windows come from: `windows` once, from one thread, and `end` from another."""

    @abstractmethod
    def windows(self, first: WindowId, last: WindowId) -> Iterator[Delivery]:
        """Yield each window from the first to the last, in order.

        Raises:
            DataError: the source is not what it was, or cannot be read.
            OSError: what makes the windows was lost.
            RuntimeError: it raised what nobody foresaw.
        """

    @abstractmethod
    def end(self) -> None:
        """Have `windows` end soon, whatever it waits for."""


@final
class OwnFeed(Feed):
    """Makes windows in this process: for one process, or where there is no Ray.

    Args:
        streamed: the dataset.
        seed: the run's seed.
    """

    def __init__(self, streamed: Streamed, seed: int) -> None:
        self._streamed = streamed
        self._seed = seed
        self._ended = threading.Event()

    def windows(self, first: WindowId, last: WindowId) -> Iterator[Delivery]:
        """Yield each window from the first to the last, in order."""
        for window, blocks in windows_between(self._streamed.blocks, self._seed, first, last):
            shards: dict[str, pa.Buffer] = {}
            for block in blocks:
                if self._ended.is_set():
                    return
                shards |= {shard.file: made for shard, made in self._made(block)}
            yield Delivery(window, shards)

    def _made(self, block: int) -> Iterator[tuple[Shard, pa.Buffer]]:
        return self._streamed.make(self._streamed.unit_of(block))

    def end(self) -> None:
        """Make no more than the unit that is being read."""
        self._ended.set()


@final
class StreamedShards(ShardFiles):
    """The shards of the windows that a worker reads in, and of the next one.

    Args:
        feed: where they come from.
    """

    is_mapping_costly = True

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._pool: ThreadPoolExecutor | None = None
        self._coming: Future[Delivery | None] | None = None
        self._windows: Iterator[Delivery] = iter(())
        self._arrived = _BEFORE_ALL
        self._held: dict[str, tuple[WindowId, pa.Buffer]] = {}

    def enter(self, window: WindowId, last: WindowId) -> None:
        """Wait for a window; the first one that is entered begins the stream."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "distrain-stream")
            self._windows = self._feed.windows(window, last)
            self._expect()
        # A worker without rows of its own keeps up too: who lags holds all windows in memory.
        while self._arrived < window:
            self._advance()
        self._held = {file: kept for file, kept in self._held.items() if kept[0] >= window}

    def map(self, shards: Sequence[Shard]) -> list[pa.Buffer]:
        """Return the content of some shards of windows that were entered or are to come."""
        while any(shard.file not in self._held for shard in shards):
            self._advance()
        return [self._held[shard.file][1] for shard in shards]

    def fetch_ahead(self, shards: Iterable[Shard]) -> None:
        """Do nothing: the next window is on its way already."""

    def end(self) -> None:
        """End the stream; nothing more can be taken from it."""
        self._feed.end()
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def place_of(self, shard: Shard) -> str:
        """Return the name that the shard would have."""
        return f"{shard.file}, made of data.source"

    def _expect(self) -> None:
        assert self._pool is not None, "a window was entered"
        self._coming = self._pool.submit(next, self._windows, None)

    def _advance(self) -> None:
        """Take in the window that comes next, and have the one after it made."""
        assert self._coming is not None, "rows of a streamed split are taken within its windows"
        delivery = self._coming.result()
        if delivery is None:
            raise RuntimeError("the stream of training rows has ended")
        self._arrived = delivery.window
        for file, content in delivery.shards.items():
            self._held[file] = (delivery.window, content)
        self._expect()


def streamed_split(streamed: Streamed, feed: Feed) -> Split:
    """Return a training split whose rows come from a feed.

    Args:
        streamed: the dataset.
        feed: of the run's seed.
    """
    split = streamed.dataset.shard_split("train")
    return Split(StreamedShards(feed), split.shards, split.columns)
