"""One file of a journal: lines at its end, by a disk that may be slow, full, or away for a while.

Who adds a line never fails for the disk's sake: what cannot be written waits in memory, in order,
and is written when it can be; `sync` tells what is wrong. With `every_s` who adds a line does not
wait for the disk either: a thread writes what has come, some times a second. A file system that
stands still (NFS whose server is away, ext4 that commits what another has written) holds up every
`write`, though it only fills the page cache. With 0.2 s for each, the loop waits
0.2 ms at most (`tests/bench/record.py`; 2026-11-21).

A part of a line, where the disk was full in the midst of it, is gone on with; at the end of a dead
process it stays, and whoever reads takes it for what is not there yet.

Who was frozen, and thaws when another has taken over, writes nothing more: what waited is dropped,
since the other records the same steps. Where the disk failed to take what the kernel had taken in,
that is written anew before the next `sync`: Linux counts pages that it could not write as written,
and the second `fsync` says nothing of them.
"""

import contextlib
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import final

PORTION_BYTES = 1 << 20
STUCK_S = 1.0
LOOK_S = 1.0


@final
class SegmentFile:
    """Writes lines to a new file; safe to use from several threads. Call order: `add`, `close`.

    Args:
        path: the file; there must be none.
        every_s: seconds after which a line is handed to the operating system, at most; None: it is
            when `add` returns, so that it outlives this process.
        is_ours: asked about once a second before anything is written; once it says no, nothing is.

    Raises:
        OSError: the file is there, or cannot be made.
    """

    def __init__(
        self,
        path: Path,
        *,
        every_s: float | None = None,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._path = path
        self._fd = os.open(path, flags, 0o644)
        self._is_ours = is_ours
        self._next_look = 0.0
        self._waiting_since: float | None = None
        self._num_written = self._num_synced = 0
        self._is_in_doubt = False
        self._lines: deque[bytes] = deque()
        self._unwritten = b""
        self._writing = threading.Lock()
        self._syncing = threading.Lock()
        self._is_called = threading.Event()
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None
        if every_s is not None:
            self._thread = threading.Thread(
                target=self._keep_writing, args=(every_s,), name="distrain-journal", daemon=True
            )
            self._thread.start()

    @property
    def is_stuck(self) -> bool:
        """Whether something has waited for the disk for longer than it should."""
        since = self._waiting_since
        return since is not None and time.monotonic() - since > STUCK_S

    def add(self, line: bytes, *, is_urgent: bool = False) -> None:
        """Put a line at the end; where the disk takes none now, it waits.

        Args:
            line: with its end.
            is_urgent: whether it is handed to the operating system within a millisecond or so, as
                far as the disk allows; nobody waits for it.

        Raises:
            OSError: the file was closed.
        """
        if self._is_closing.is_set():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._lines.append(line)
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        if is_urgent:
            self._is_called.set()
        if self._thread is None:
            with contextlib.suppress(OSError):  # `sync` tells of it, and `close`
                self._write_waiting()

    def sync(self) -> None:
        """Force what was added on to the disk; returns when it is there.

        Raises:
            OSError: the disk is full, or gone, or another has taken over.
        """
        self._write_waiting()
        with self._syncing:
            num_written = self._num_written
            if self._is_in_doubt:
                self._write_anew(self._num_synced, num_written)
            self._is_in_doubt = True
            os.fsync(self._fd)
            self._num_synced, self._is_in_doubt = num_written, False

    def close(self) -> None:
        """Sync and close; a second call does nothing.

        Raises:
            OSError: the disk is full, or gone; closed all the same.
        """
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        self._is_called.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.sync()
        finally:
            os.close(self._fd)

    def _keep_writing(self, every_s: float) -> None:
        while not self._is_closing.is_set():
            self._is_called.wait(every_s)
            self._is_called.clear()
            with contextlib.suppress(OSError):  # `sync` tells of it, and `close`
                self._write_waiting()

    def _write_waiting(self) -> None:
        with self._writing:
            self._check_still_ours()
            while self._unwritten or self._lines:
                if not self._unwritten:
                    self._unwritten = self._next_portion()
                num_bytes = os.write(self._fd, self._unwritten)
                if num_bytes == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._unwritten = self._unwritten[num_bytes:]
                self._num_written += num_bytes
            self._waiting_since = None

    def _check_still_ours(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        if not self._is_ours():
            self._lines.clear()
            self._unwritten = b""
            raise OSError(errno.ESTALE, "another has taken over, and records in its own place")
        self._next_look = now + LOOK_S

    def _write_anew(self, start: int, stop: int) -> None:
        """Write what stands between two bytes again, from what the kernel still has of it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)  # appending, `pwrite` would append
        try:
            while start < stop:
                piece = os.pread(fd, min(PORTION_BYTES, stop - start), start)
                if not piece:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                start += os.pwrite(fd, piece, start)
        finally:
            os.close(fd)

    def _next_portion(self) -> bytes:
        """Take the next lines from those that wait, about as many as a call should write."""
        lines, num_bytes = [], 0
        while self._lines and num_bytes < PORTION_BYTES:
            lines.append(self._lines.popleft())
            num_bytes += len(lines[-1])
        return b"".join(lines)
