"""How many records of a journal wait to be sent, counted while it is written and sent."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, final

from distrain.track.journal_reading import list_segments

_BLOCK_BYTES: Final = 1 << 20


@final
class Backlog:
    """Counts again and again, and reads each byte of the journal twice in all; for one thread.

    Args:
        folder: the journal's.
        reached: returns the byte of each segment, by its name, behind what was sent.
    """

    def __init__(self, folder: Path, reached: Callable[[], Mapping[str, int]]) -> None:
        self._folder = folder
        self._reached = reached
        self._written: dict[str, _Lines] = {}
        self._sent: dict[str, _Lines] = {}

    def count(self) -> int:
        """Return the number of whole records that are written and not sent.

        Raises:
            OSError: the journal cannot be read now.
        """
        reached = self._reached()  # before what is written, so that it is not ahead of that
        segments = list_segments(self._folder)
        return sum(self._count(path, reached.get(path.name, 0)) for path in segments)

    def _count(self, path: Path, sent: int) -> int:
        written, before = (
            known.setdefault(path.name, _Lines(path)) for known in (self._written, self._sent)
        )
        return written.until(path.stat().st_size) - before.until(sent)


@final
class _Lines:
    """The lines of a file before a byte, which mostly moves on.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._num = 0

    def until(self, end: int) -> int:
        """Return how many lines end before a byte."""
        if end < self._at:  # what was sent is sent again, to a store that was replaced
            self._at = self._num = 0
        if end > self._at:
            with self._path.open("rb") as file:
                file.seek(self._at)
                while block := file.read(min(_BLOCK_BYTES, end - self._at)):
                    self._at += len(block)
                    self._num += block.count(b"\n")
        return self._num
