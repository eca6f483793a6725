"""What a journal holds, read back; see `journal.py` for how its lines are made."""

import json
import logging
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

SEGMENT = re.compile(r"^(?P<writer>[A-Za-z0-9_]+)-(?P<number>\d{5})\.jsonl$")
CRC_HEAD = b'{"crc32":"'
_CRC_WIDTH = len(CRC_HEAD) + 8 + len(b'",')
_PASSED_OVER = re.compile(rb'"kind":"(?:progress"|metrics","payload":\{"step":(\d+),)')
_SCAN_BYTES = 1 << 20

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


def list_segments(folder: Path) -> list[Path]:
    """Return a journal's segment files by writer and number."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if SEGMENT.match(path.name))


def segments_of(writer: str, folder: Path) -> list[Path]:
    """Return a writer's segment files by number."""
    return [path for path in list_segments(folder) if _writer_of(path) == writer]


def read_journal(
    folder: Path, positions: Mapping[str, int], *, max_bytes: int | None = None
) -> tuple[list[JournalRecord], dict[str, int]]:
    """Return what is complete after the given positions, and the positions behind it.

    A last line without its end is left for the next read. A whole line whose checksum does not
    match becomes a record of kind `damaged`, and what follows it is read on.

    Args:
        folder: the journal's folder; a missing one is an empty journal.
        positions: segment file name to the byte to read from; absent: from its beginning.
        max_bytes: about how much to read of each segment; None: all of it. A writer's next segment
            waits until the one before it is read to its end, so that no step comes before an
            earlier one.

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
            data += file.readline()
        end = data.rfind(b"\n") + 1
        if is_cut and end:  # without a whole line, it is a torn end that nobody will complete
            unfinished.add(_writer_of(path))
        records.extend(_records(path, data[:end], start))
        reached[path.name] = start + end
    return records, reached


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
    fields = json.loads(b"{" + body)
    return JournalRecord(
        _writer_of(path),
        fields["seq"],
        fields["time_ms"],
        fields["kind"],
        fields["payload"],
        path.name,
    )


def _is_before(line: bytes, step: int) -> bool:
    found = _PASSED_OVER.search(line, _CRC_WIDTH)
    return found is not None and (found[1] is None or int(found[1]) < step)


def last_step(folder: Path) -> int:
    """Return the last optimizer step that a journal tells of; 0 where it tells of none.

    Args:
        folder: the journal's folder.
    """
    step = 0
    positions: dict[str, int] = {}
    while True:
        records, positions = read_journal(folder, positions, max_bytes=_SCAN_BYTES)
        if not records:
            return step
        told = (r.payload["step"] for r in records if r.kind in ("metrics", "progress"))
        step = max(step, *told, 0)


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
        yield from _records(path, path.read_bytes(), 0)


def written_since(step: int, writer: str, folder: Path) -> Iterator[JournalRecord]:
    """Give what is whole of what a writer has left, but for metrics before a step, and progress.

    Args:
        step: the first step whose metrics are given.
        writer: its name.
        folder: the journal's folder; a missing one is an empty journal.
    """
    for path in segments_of(writer, folder):
        lines = path.read_bytes().split(b"\n")[:-1]
        found = (_parse(path, line) for line in lines if not _is_before(line, step))
        yield from filter(None, found)


def last_written(writer: str, folder: Path) -> JournalRecord | None:
    """Return the last record that a writer has left in a journal; None: it has left none.

    Args:
        writer: its name.
        folder: the journal's folder; a missing one is an empty journal.
    """
    for path in reversed(segments_of(writer, folder)):
        for line in reversed(path.read_bytes().split(b"\n")[:-1]):
            record = _parse(path, line)
            if record is not None:
                return record
    return None


def _damaged(path: Path, offset: int) -> JournalRecord:
    logger.warning("%s: the record at byte %d is damaged and left out", path, offset)
    payload = {"file": path.name, "offset": offset}
    return JournalRecord(_writer_of(path), 0, 0, "damaged", payload, path.name)


def _writer_of(path: Path) -> str:
    return path.name.rpartition("-")[0]
