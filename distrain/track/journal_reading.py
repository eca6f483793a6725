"""What a journal holds, read back; see `journal.py` for how its lines are made.

A segment may be larger than the memory: each is read line by line, or from its end in blocks.
"""

import logging
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from distrain.foreign import from_json, is_count
from distrain.listing import paths_in
from distrain.track.sound_records import is_sound

DRIVER = "driver"
"""The writer that records what a run is, and how it ends."""
SEGMENT = re.compile(r"^(?P<writer>[A-Za-z0-9_]+)-(?P<number>\d{5})\.jsonl$")
SHOWN_AFTER_S = 60.0
"""Seconds after which NFS shows what another host has written."""
CLOCKS_DIFFER_S = 86_400.0
"""Seconds by which the clock of a host differs from its file server's at most."""
CRC_HEAD = b'{"crc32":"'
_CRC_WIDTH = len(CRC_HEAD) + 8 + len(b'",')
_PASSED_OVER = re.compile(rb'"kind":"(?:progress"|metrics","payload":\{"step":(\d+),)')
_ZEROS = re.compile(rb"\0+")
_BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20
"""Of a line; a longer one would fill the memory, and is none that was written here."""

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One line of a journal.

    Attributes:
        writer: who wrote it, such as `driver` or `rank0`.
        seq: its number among the writer's records, from 1.
        time_ms: when it was recorded, in milliseconds since 1970 (UTC).
        kind: what it is; `damaged` stands for a line whose checksum does not match.
        payload: its content, by kind.
        segment: name of the file that it stands in.
    """

    writer: str
    seq: int
    time_ms: int
    kind: str
    payload: dict[str, Any]
    segment: str


@final
class Hidden:
    """What a reader that comes again and again is not shown yet of a journal; for one thread.

    NFS shows zeros for a while for what another host has written, and JSON's lines have none. How
    long they have been there, this process's clock tells: a file's time is by its server's.
    """

    def __init__(self) -> None:
        self._since: dict[str, dict[int, float]] = {}

    def begins_at(self, path: Path, data: bytes, start: int) -> int | None:
        """Return where in a part of a segment the first zeros are that may still give way.

        Args:
            path: the segment.
            data: the part.
            start: the byte of the segment that it begins at.
        """
        now, before = time.monotonic(), self._since.get(path.name, {})
        has_zeros = b"\0" in data  # far faster than the pattern, and nearly always false
        offsets = [start + z.start() for z in _ZEROS.finditer(data)] if has_zeros else []
        since = self._since[path.name] = {at: before.get(at, now) for at in offsets}
        if not offsets or time.time() - path.stat().st_mtime > CLOCKS_DIFFER_S:
            return None
        return next((at - start for at in offsets if now - since[at] < SHOWN_AFTER_S), None)


def list_segments(folder: Path) -> list[Path]:
    """Return a journal's segment files by writer and number."""
    return [path for path in paths_in(folder) if SEGMENT.match(path.name)]


def segments_of(writer: str, folder: Path) -> list[Path]:
    """Return a writer's segment files by number."""
    return [path for path in list_segments(folder) if _writer_of(path) == writer]


def read_journal(
    folder: Path,
    positions: Mapping[str, int],
    *,
    max_bytes: int | None = None,
    hidden: Hidden | None = None,
    limits: Mapping[str, int] | None = None,
) -> tuple[list[JournalRecord], dict[str, int]]:
    """Return what is complete after the given positions, and the positions behind it.

    A last line without its end is left for the next read, and so are zeros where `hidden` has it. A
    whole line whose checksum does not match becomes a record of kind `damaged`, and what follows it
    is read on.

    Args:
        folder: the journal's folder; a missing one is an empty journal.
        positions: segment file name to the byte to read from; absent: from its beginning.
        max_bytes: about how much to read of each segment; None: all of it. A writer's next segment
            waits until the one before it is read to its end, so that no step comes before an
            earlier one.
        hidden: the reader's, where it comes again; None: zeros are damage, as they do not give way
            while it reads.
        limits: segment file name to the byte to read to, absent: nothing of it; None: to the end.

    Returns:
        Records, writer by writer and in the order in which each wrote them, and the new positions.
    """
    records: list[JournalRecord] = []
    reached = dict(positions)
    unfinished: set[str] = set()
    for path in list_segments(folder):
        if _writer_of(path) in unfinished:
            continue
        start = reached.get(path.name, 0)
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(-1 if max_bytes is None else max_bytes)
            is_cut = len(data) == max_bytes
            data += file.readline(MAX_LINE_BYTES)
        hole = None if hidden is None else hidden.begins_at(path, data, start)
        room = len(data) if limits is None else max(limits.get(path.name, 0) - start, 0)
        if room < len(data):
            hole = room if hole is None else min(hole, room)
        end = data.rfind(b"\n", 0, hole) + 1
        # Cut without a whole line, it is a torn end that nobody will complete.
        if hole is not None or (is_cut and end):
            unfinished.add(_writer_of(path))
        records.extend(_records(path, data[:end], start))
        reached[path.name] = start + end
    return records, reached


def lost_ends(folder: Path, reached: Mapping[str, int]) -> dict[str, int]:
    """Return where segments were cut, by name: of a journal that nobody writes to any more.

    A process that is killed in the midst of a line leaves such an end too.

    Args:
        folder: the journal's folder; a missing one is an empty journal.
        reached: segment file name to the byte behind what was read of it before.
    """
    lost = {}
    for path in list_segments(folder):
        end = _whole_bytes(path)
        if end < max(path.stat().st_size, reached.get(path.name, 0)):
            lost[path.name] = end
    return lost


def missing_records(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """Return which records are gone without a trace, by the segment that goes on behind them.

    A writer counts its records, and goes on behind the last whole line that it finds. So a line
    that a killed process left torn leaves no gap; one that was frozen may have used numbers too.

    Args:
        folder: the journal's folder; a missing one is an empty journal.

    Returns:
        Of each gap the first and the last number. A gap that damaged lines explain is none.
    """
    missing: dict[str, list[tuple[int, int]]] = {}
    for writer in sorted({_writer_of(path) for path in list_segments(folder)}):
        for segment, first, last in _gaps(writer, folder):
            missing.setdefault(segment, []).append((first, last))
    return missing


def metric_values(record: JournalRecord) -> dict[str, float]:
    """Return the values of a `metrics` record as floats, nan and infinities included."""
    return {key: float(value) for key, value in record.payload["values"].items()}


def _records(path: Path, data: bytes, start: int) -> Iterator[JournalRecord]:
    offset = start
    for line in data.split(b"\n")[:-1]:
        yield _parse(path, line) or _damaged(path, offset)
        offset += len(line) + 1


def _parse(path: Path, line: bytes) -> JournalRecord | None:
    body = line[_CRC_WIDTH:]
    if line[:_CRC_WIDTH] != b'%b%08x",' % (CRC_HEAD, zlib.crc32(body)):
        return None
    try:
        fields = from_json(b"{" + body)
        seq, time_ms = fields["seq"], fields["time_ms"]
        kind, payload = fields["kind"], fields["payload"]
    except (ValueError, KeyError):
        return None
    if not is_sound(seq, time_ms, kind, payload):
        return None
    return JournalRecord(_writer_of(path), seq, time_ms, kind, payload, path.name)


def _gaps(writer: str, folder: Path) -> Iterator[tuple[str, int, int]]:
    newest = num_damaged = 0
    for path in segments_of(writer, folder):
        last = newest
        for line in _lines(path):
            number = _number_of(path, line, last + 1)
            if number is None:
                num_damaged += 1
                continue
            if number - last - 1 > num_damaged:
                yield path.name, last + 1, number - 1
            last, num_damaged = number, 0
        newest = max(newest, last)


def _number_of(path: Path, line: bytes, expected: int) -> int | None:
    """Return a record's number, None where it is damaged; only another is worth its checksum."""
    if line.startswith(b'"seq":%d,' % expected, _CRC_WIDTH):
        return expected
    record = _parse(path, line)
    return None if record is None else record.seq


def _lines(path: Path) -> Iterator[bytes]:
    """Give the whole lines of a segment, without their ends."""
    with path.open("rb", buffering=_BLOCK_BYTES) as file:
        while line := file.readline(MAX_LINE_BYTES):
            if line.endswith(b"\n"):
                yield line[:-1]
            elif len(line) == MAX_LINE_BYTES:
                yield b""  # which is damaged; nobody has written such a line, nor what follows it
                return


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """Give the whole lines of a segment, the last first, without their ends."""
    end = _whole_bytes(path)
    if end == 0:
        return
    at, later = end - 1, b""
    with path.open("rb") as file:
        while at > 0:
            if len(later) > MAX_LINE_BYTES:
                return  # nobody has written such a line
            start = max(0, at - _BLOCK_BYTES)
            file.seek(start)
            later, *lines = (file.read(at - start) + later).split(b"\n")
            yield from reversed(lines)
            at = start
    yield later


def _whole_bytes(path: Path) -> int:
    """Return the byte behind a segment's last whole line."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        while at > 0:
            start = max(0, at - _BLOCK_BYTES)
            file.seek(start)
            found = file.read(at - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            at = start
    return 0


def _is_before(line: bytes, step: int) -> bool:
    found = _PASSED_OVER.search(line, _CRC_WIDTH)
    return found is not None and (found[1] is None or int(found[1]) < step)


def last_step(folder: Path) -> int:
    """Return the last optimizer step that a journal tells of; 0 where it tells of none.

    Within a segment steps do not fall, so only the end of each is looked at.

    Args:
        folder: the journal's folder.
    """
    ends = (_last(path, "metrics|progress") for path in list_segments(folder))
    steps = (record.payload.get("step") for record in ends if record is not None)
    return max((int(step) for step in steps if step is not None and is_count(step)), default=0)


def recorded_kinds(folder: Path, writer: str) -> set[str]:
    """Return the kinds of the records that a writer has left in a journal.

    Args:
        folder: the journal's folder; a missing one is an empty journal.
        writer: its name.
    """
    return {record.kind for record in written_by(writer, folder)}


def written_by(writer: str, folder: Path) -> Iterator[JournalRecord]:
    """Give the records that a writer has left in a journal, the oldest first.

    Args:
        writer: its name.
        folder: the journal's folder; a missing one is an empty journal.
    """
    for path in segments_of(writer, folder):
        offset = 0
        for line in _lines(path):
            yield _parse(path, line) or _damaged(path, offset)
            offset += len(line) + 1


def written_since(step: int, writer: str, folder: Path) -> Iterator[JournalRecord]:
    """Give what is whole of what a writer has left, but for metrics before a step, and progress.

    Args:
        step: the first step whose metrics are given.
        writer: its name.
        folder: the journal's folder; a missing one is an empty journal.
    """
    for path in segments_of(writer, folder):
        found = (_parse(path, line) for line in _lines(path) if not _is_before(line, step))
        yield from filter(None, found)


def last_written(writer: str, folder: Path, kind: str | None = None) -> JournalRecord | None:
    """Return the last record that a writer has left in a journal; None: it has left none.

    Args:
        writer: its name.
        folder: the journal's folder; a missing one is an empty journal.
        kind: of which kind; None: of any.
    """
    found = (_last(path, kind or r"\w+") for path in reversed(segments_of(writer, folder)))
    return next(filter(None, found), None)


def _last(path: Path, kinds: str) -> JournalRecord | None:
    """Return the last record of a segment whose kind matches a pattern; None: there is none."""
    head = re.compile(
        rb'.{%d}"seq":\d+,"time_ms":\d+,"kind":"(?:%b)"' % (_CRC_WIDTH, kinds.encode())
    )
    for line in _lines_backwards(path):
        record = _parse(path, line) if head.match(line) else None
        if record is not None:
            return record
    return None


def _damaged(path: Path, offset: int) -> JournalRecord:
    logger.warning("%s: the record at byte %d is damaged and left out", path, offset)
    payload = {"file": path.name, "offset": offset}
    return JournalRecord(_writer_of(path), 0, 0, "damaged", payload, path.name)


def _writer_of(path: Path) -> str:
    return path.name.rpartition("-")[0]
