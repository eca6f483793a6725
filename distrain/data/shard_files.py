"""Where a split's shards are mapped from: a folder that every node sees, or this node's copies.

Those of a training split that is streamed come from elsewhere: see `streamed.py`.

Measured with 0.3 s before each shard's first byte and 39 shards of 11 MB (2 cores, busy): the first
batch came after 6 s, and then 1 % of the time went into waiting, in a cache of any allowed size.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import pyarrow as pa

from distrain.data.files import below, filesystem_of
from distrain.data.plan import WindowId
from distrain.data.shard_cache import ShardCache
from distrain.data.shards import SHARD_FOLDER, Shard
from distrain.errors import DataError

FETCH_THREADS: Final = 4
ROOM_POLL_S: Final = 0.2

log = logging.getLogger(__name__)


class ShardFiles(ABC):
    """Maps shards by their entry in the manifest."""

    # What the node may hold, in bytes; None: any number.
    max_bytes: int | None = None
    # Whether what is mapped takes up room that others may need.
    is_mapping_costly = False

    @abstractmethod
    def map(self, shards: Sequence[Shard]) -> list[pa.Buffer]:
        """Return the content of some shards, mapped.

        Raises:
            OSError: a file cannot be opened.
            DataError: a shard cannot be fetched.
        """

    @abstractmethod
    def fetch_ahead(self, shards: Iterable[Shard]) -> None:
        """Begin to fetch what will be needed next, instead of what was wished for before."""

    @abstractmethod
    def enter(self, window: WindowId, last: WindowId) -> None:
        """Begin to read in a window of the plan; nothing of an earlier one is needed any more.

        Args:
            window: which one.
            last: the last one that will be read in.
        """

    @abstractmethod
    def end(self) -> None:
        """Read no more: what another thread waits for in `map` or `enter` does not come."""

    @abstractmethod
    def place_of(self, shard: Shard) -> str:
        """Return where a shard lies, for a message."""


@final
class LocalShards(ShardFiles):
    """Shards in a folder on this machine or on a shared file system.

    Args:
        folder: the prepared dataset's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / SHARD_FOLDER

    def map(self, shards: Sequence[Shard]) -> list[pa.Buffer]:
        """Return the content of some shards, mapped."""
        return [_mapped(self.place_of(shard)) for shard in shards]

    def fetch_ahead(self, shards: Iterable[Shard]) -> None:
        """Do nothing: the shards are here."""

    def enter(self, window: WindowId, last: WindowId) -> None:
        """Do nothing: what is needed next is told by `fetch_ahead`."""

    def end(self) -> None:
        """Do nothing: what is asked for comes in the end."""

    def place_of(self, shard: Shard) -> str:
        """Return the shard's path."""
        return str(self._folder / shard.file)


def _mapped(path: str) -> pa.Buffer:
    file = pa.memory_map(path)
    return file.read_buffer(file.size())


@dataclass
class _Wish:
    """Shards to be fetched ahead by some threads, until they are there or no longer wished for."""

    shards: deque[Shard]
    keep: frozenset[str]
    is_over: threading.Event = field(default_factory=threading.Event)


@final
class FetchedShards(ShardFiles):
    """Shards on remote storage, of which this node keeps copies.

    What a process has mapped cannot be evicted, so what is no longer read from is unmapped soon.

    Args:
        location: URI of the prepared dataset.
        cache: the node's copies.
    """

    is_mapping_costly = True

    def __init__(self, location: str, cache: ShardCache) -> None:
        self._location = location
        self._system, self._root = filesystem_of(location)
        self._cache = cache
        self.max_bytes = cache.max_bytes
        self._wish = _Wish(deque(), frozenset())

    def map(self, shards: Sequence[Shard]) -> list[pa.Buffer]:
        """Return the content of some shards, mapped; several are fetched at a time."""
        if all(self._cache.has(shard) for shard in shards):
            return [self._cache.map(shard, self._open) for shard in shards]
        with ThreadPoolExecutor(min(FETCH_THREADS, len(shards)), "distrain-fetch") as pool:
            return list(pool.map(lambda shard: self._cache.map(shard, self._open), shards))

    def fetch_ahead(self, shards: Iterable[Shard]) -> None:
        """Begin to fetch what will be needed next, in threads that end when it is there."""
        self._wish.is_over.set()
        wished = list(shards)
        missing = deque(shard for shard in wished if not self._cache.has(shard))
        self._wish = _Wish(missing, frozenset(shard.sha256 for shard in wished))
        for _ in range(min(FETCH_THREADS, len(missing))):
            threading.Thread(
                target=self._fulfil, args=(self._wish,), name="distrain-fetch-ahead", daemon=True
            ).start()

    def enter(self, window: WindowId, last: WindowId) -> None:
        """Do nothing: what is needed next is told by `fetch_ahead`."""

    def end(self) -> None:
        """Do nothing: what is asked for comes in the end."""

    def place_of(self, shard: Shard) -> str:
        """Return the shard's URI."""
        return below(self._location, f"{SHARD_FOLDER}/{shard.file}")

    def _fulfil(self, wish: _Wish) -> None:
        while not wish.is_over.is_set() and wish.shards:
            try:
                shard = wish.shards.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                is_there = self._cache.bring(shard, self._open, wish.keep)
            except DataError as fault:
                log.warning("%s", fault)  # who needs the shard tries again, and fails if it must
                return
            if not is_there:
                wish.shards.append(shard)
                wish.is_over.wait(ROOM_POLL_S)

    def _open(self, file: str) -> pa.NativeFile:
        return self._system.open_input_stream(
            f"{self._root}/{SHARD_FOLDER}/{file}", compression=None
        )
