"""A node's own copies of shards that lie on remote storage: bounded, verified, shared by processes.

```
<folder>/<sha256>.arrow   a shard, whole and verified
<folder>/<sha256>.part    one on its way, its size reserved, locked by the process that fetches it
<folder>/.room            locked while room is made
```

Whoever has mapped a shard holds a shared lock on it, and what is locked is never evicted; the
kernel drops the locks of a process that dies. Of the rest, what was used least recently goes first.
"""

import fcntl
import hashlib
import logging
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, final

import pyarrow as pa

from distrain.data.shards import Shard
from distrain.errors import DataError, first_line

FETCH_TRIES: Final = 5
FETCH_PAUSE_S: Final = 0.2
ROOM_WAIT_S: Final = 60.0
POLL_S: Final = 0.02
_CHUNK_BYTES: Final = 4 * 2**20
_WHOLE: Final = ".arrow"
_PART: Final = ".part"

Opener = Callable[[str], "pa.NativeFile"]

log = logging.getLogger(__name__)


def default_folder() -> Path:
    """Return where a node keeps the shards it fetches, unless it is told otherwise."""
    return Path(tempfile.gettempdir()) / f"distrain-shards-{os.getuid()}"


def shard_cache(folder: str | None, max_bytes: int | None) -> "ShardCache":
    """Return a node's cache, in the usual folder where none is named."""
    return ShardCache(Path(folder) if folder else default_folder(), max_bytes)


@final
@dataclass(frozen=True)
class ShardCache:
    """A folder on this node's own disk that shards are fetched into.

    Args:
        folder: made when it is first needed.
        max_bytes: what its shards may take together; None: any number.
    """

    folder: Path
    max_bytes: int | None = None

    def map(self, shard: Shard, open_remote: Opener) -> pa.Buffer:
        """Return a shard's content, mapped; fetched now unless it is there.

        It stays in the cache while the buffer, or what was made from it, lives.

        Args:
            shard: which one.
            open_remote: opens a shard's file on remote storage, by name, for reading.

        Raises:
            DataError: it cannot be fetched, or there is no room.
        """
        descriptor = self._hold(shard, open_remote)
        try:
            # The mapping keeps a duplicate of the descriptor, and with it the lock, while it lives.
            return pa.py_buffer(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ))
        finally:
            os.close(descriptor)

    def has(self, shard: Shard) -> bool:
        """Return whether a shard is there now."""
        return self._path(shard, _WHOLE).exists()

    def bring(self, shard: Shard, open_remote: Opener, keep: Collection[str]) -> bool:
        """Fetch a shard that will be needed; return whether it is there.

        It is not there while another process fetches it, or where there is no room without
        evicting what is in use or to be kept.

        Args:
            shard: which one.
            open_remote: opens a shard's file on remote storage, by name, for reading.
            keep: SHA-256 of the shards that are needed no later.

        Raises:
            DataError: it cannot be fetched.
        """
        if self.has(shard):
            return True
        part = self._reserve(shard, keep)
        if part is None:
            return False
        self._fill(part, shard, open_remote)
        return True

    def _hold(self, shard: Shard, open_remote: Opener) -> int:
        """Return a descriptor of the shard, with a shared lock."""
        gives_up = time.monotonic() + ROOM_WAIT_S
        while True:
            held = _lock_shared(self._path(shard, _WHOLE))
            if held is not None:
                return held
            part = self._reserve(shard, ())
            if part is not None:
                self._fill(part, shard, open_remote)
            elif self._path(shard, _PART).exists():
                gives_up = time.monotonic() + ROOM_WAIT_S  # another process is at it
                time.sleep(POLL_S)
            elif time.monotonic() < gives_up:
                time.sleep(POLL_S)
            else:
                raise self._no_room(shard)

    def _reserve(self, shard: Shard, keep: Collection[str]) -> int | None:
        """Return a locked descriptor of an empty file for the shard, its size counted.

        None where the shard is there or on its way by now, or where there is no room.
        """
        part = self._path(shard, _PART)
        with self._room():
            if self.has(shard) or not _remove_unlocked(part):
                return None
            if not self._make_room(shard.num_bytes, keep):
                return None
            descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.truncate(descriptor, shard.num_bytes)
            return descriptor

    def _make_room(self, num_bytes: int, keep: Collection[str]) -> bool:
        """Evict what is neither in use nor to be kept; return whether so many bytes fit now."""
        if self.max_bytes is None:
            return True
        files = self._files()
        excess = sum(file.st_size for file in files.values()) + num_bytes - self.max_bytes
        for path in sorted(files, key=lambda path: files[path].st_mtime_ns):
            if excess <= 0:
                break
            if path.suffix == _WHOLE and path.stem not in keep and _remove_unlocked(path):
                excess -= files[path].st_size
        return excess <= 0

    def _files(self) -> dict[Path, os.stat_result]:
        """Return the shards that are there or on their way; forget those whose fetcher is dead."""
        parts = [path for path in self.folder.glob(f"*{_PART}") if not _remove_unlocked(path)]
        files = {}
        # What is given its name meanwhile must be counted, twice rather than not at all: hence the
        # whole ones are listed only when the others have been looked at.
        for paths in (parts, self.folder.glob(f"*{_WHOLE}")):
            for path in paths:
                with suppress(FileNotFoundError):
                    files[path] = path.stat()
        return files

    def _fill(self, descriptor: int, shard: Shard, open_remote: Opener) -> None:
        """Fetch the shard into the descriptor's file and give it its name."""
        part = self._path(shard, _PART)
        with os.fdopen(descriptor, "r+b") as file:
            try:
                _fetch(file, shard, open_remote)
                os.fsync(file.fileno())
                part.replace(self._path(shard, _WHOLE))
            except BaseException:  # an interruption too; it goes on below
                part.unlink(missing_ok=True)  # while it is locked: afterwards it may be another's
                raise

    @contextmanager
    def _room(self) -> Iterator[None]:
        self._make_folder()
        descriptor = os.open(self.folder / ".room", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_own = self.folder.stat().st_uid == os.getuid()
        except OSError as fault:
            raise self._unusable(f"it cannot be made ({fault.strerror or fault})") from fault
        if not is_own:
            raise self._unusable("it belongs to another user")

    def _unusable(self, reason: str) -> DataError:
        return DataError(
            f"shards cannot be fetched into this folder: {reason}",
            where=str(self.folder),
            expected="a folder of this user's own on each node",
            mend="Name another by data.cache.local_path.",
        )

    def _no_room(self, shard: Shard) -> DataError:
        return DataError(
            f"there was no room for a shard of {shard.num_bytes:,} bytes for {ROOM_WAIT_S:g} s: "
            f"what is in use fills the {self.max_bytes:,} bytes of data.cache.max_bytes",
            where=str(self.folder),
            expected="room for the shards that the workers of this node read at a time",
            mend="Raise data.cache.max_bytes; runs at the same time add up, or name another "
            "folder by data.cache.local_path.",
        )

    def _path(self, shard: Shard, suffix: str) -> Path:
        return self.folder / f"{shard.sha256}{suffix}"


def _lock_shared(path: Path) -> int | None:
    """Return a descriptor with a shared lock, marked as used now; None where it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if os.fstat(descriptor).st_nlink == 0:  # evicted between the two
        os.close(descriptor)
        return None
    os.utime(descriptor)
    return descriptor


def _remove_unlocked(path: Path) -> bool:
    """Remove a file unless some process holds a lock on it; return whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _fetch(file: BinaryIO, shard: Shard, open_remote: Opener) -> None:
    """Write a shard's verified content to a file; what fails is tried again."""
    pause_s = FETCH_PAUSE_S
    for tries_left in reversed(range(FETCH_TRIES)):
        try:
            digest = _copy(file, shard, open_remote)
        except FileNotFoundError as fault:
            raise _lost(shard, "it is not there") from fault
        except (OSError, pa.ArrowException) as fault:
            reason, cause = first_line(fault), fault
        else:
            if digest == shard.sha256:
                return
            reason, cause = f"its SHA-256 is {digest[:12]}...", None
        if not tries_left:
            raise _lost(shard, reason) from cause
        log.warning("shard %s: %s; trying again in %.1f s", shard.file, reason, pause_s)
        time.sleep(pause_s)
        pause_s *= 2


def _copy(file: BinaryIO, shard: Shard, open_remote: Opener) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    with open_remote(shard.file) as source:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    file.truncate(shard.num_bytes)
    file.flush()
    return digest.hexdigest()


def _lost(shard: Shard, reason: str) -> DataError:
    return DataError(
        f"a shard cannot be fetched: {reason}",
        where=shard.file,
        expected=f"{shard.num_bytes:,} bytes with the SHA-256 {shard.sha256[:12]}...",
        mend="Check the connection, and the room in data.cache.local_path; a damaged dataset is "
        "made anew where its folder is removed.",
    )
