"""A run's journal in an object store, which nobody can append to: pieces of whole lines.

    <run>/segments/<segment>                                    who may write a segment of this name
    <run>/journal/<generation>/<segment>/<offset>-<bytes>-<crc32>

A segment only grows, so pieces may be put by whoever sees its file, and overlap, and are the same
all the same. What of a segment the store has without a gap is durable; only that is shipped, since
of the rest nothing would be known any more if this host were lost.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from distrain.object_store.generations import JOURNAL, counted
from distrain.object_store.link import Link

SEGMENTS: Final = "segments/"
_PIECE: Final = re.compile(r"journal/([\d-]+)/([\w.-]+\.jsonl)/(\d+)-(\d+)-([0-9a-f]{8})")
_PORTION_BYTES: Final = 8 << 20


def claim_segment(link: Link, name: str) -> None:
    """Make the name of a segment this process's.

    Raises:
        FileExistsError: another has it, or had it.
        OSError: the store does not take it now.
    """
    link.run.put_new(f"{SEGMENTS}{name}", f"{link.writer} {link.folder}".encode())
    link.durable[name] = 0


def put_lines(link: Link, segment: Path) -> None:
    """Put the whole lines of a segment that the store does not have; return when it has them.

    Raises:
        OSError: the file cannot be read, or the store does not take it now.
    """
    with link.sending:
        while True:
            start = link.durable.get(segment.name, 0)
            with segment.open("rb") as file:
                file.seek(start)
                data = file.read(_PORTION_BYTES)
                if b"\n" not in data:
                    data += file.readline()
            data = data[: data.rfind(b"\n") + 1]
            if not data:
                return
            name = f"{start:012d}-{len(data)}-{zlib.crc32(data):08x}"
            link.run.put(f"{JOURNAL}{link.writer}/{segment.name}/{name}", data)
            link.durable[segment.name] = start + len(data)


def put_own_lines(link: Link) -> None:
    """Put what the segments of this process have and the store has not.

    Raises:
        OSError: as `put_lines`.
    """
    for segment in tuple(link.own_segments):
        put_lines(link, segment)


def put_rest(link: Link) -> None:
    """Put what the segments of this host have: their writers may be dead, or on another by now.

    Raises:
        OSError: as `put_lines`.
    """
    journal = link.folder / "journal"
    for segment in sorted(journal.glob("*.jsonl")) if journal.is_dir() else ():
        put_lines(link, segment)


def take_in(link: Link) -> None:
    """Learn what the store has of the journal; write what this host's files lack of it.

    What a writer on this host has not put yet is left as it is.

    Raises:
        OSError: the store cannot tell now, or the disk takes nothing.
    """
    found = [entry.name for entry in counted(link.run, JOURNAL, link.seal)]
    for segment, pieces in _by_segment(found).items():
        _take_in_segment(link, segment, pieces)


def take_in_news(link: Link) -> None:
    """Do so of the segments of the attempt that is under way.

    Raises:
        OSError: as `take_in`.
    """
    found = [entry.name for entry in link.run.entries(f"{JOURNAL}{link.of_workers}/")]
    for segment, pieces in _by_segment(found).items():
        _take_in_segment(link, segment, pieces)


def _take_in_segment(link: Link, segment: str, pieces: Mapping[int, tuple[int, str]]) -> None:
    path = link.folder / "journal" / segment
    path.parent.mkdir(parents=True, exist_ok=True)
    with link.sending:
        at, wanted = link.durable.get(segment, 0), {}
        for start in sorted(pieces):
            length, name = pieces[start]
            if start > at:
                break  # what lies before it is not there yet
            if start + length > at:
                wanted[name] = start
                at = start + length
        has_bytes = path.stat().st_size if path.exists() else 0
        if has_bytes < at:
            _write(link, path, wanted)
        link.durable[segment] = at


def _write(link: Link, path: Path, starts: Mapping[str, int]) -> None:
    with path.open("r+b" if path.exists() else "x+b") as file:
        for name, content in link.run.get_all(starts):
            if not name.endswith(f"{zlib.crc32(content):08x}"):
                raise OSError(f"{link.place.below(name).uri} is not what was written")
            file.seek(starts[name])
            file.write(content)


def _by_segment(names: Iterable[str]) -> dict[str, dict[int, tuple[int, str]]]:
    """Return the longest piece at each offset of each segment, by segment's name."""
    found: dict[str, dict[int, tuple[int, str]]] = {}
    for name in names:
        piece = _PIECE.fullmatch(name)
        if piece is None:
            continue
        of_segment, start, length = found.setdefault(piece[2], {}), int(piece[3]), int(piece[4])
        if length > of_segment.get(start, (0, ""))[0]:
            of_segment[start] = (length, name)
    return found
