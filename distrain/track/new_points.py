"""Which points of a journal a store has not: of steps that were computed again, the first counts.

A metric's points come in the order of their steps, so what is not beyond the greatest step that was
sent was sent before. Not so where a run goes on with another `track.every_steps`, or a line of an
earlier attempt was damaged: then there are steps between those of before, and what was recorded of
them is looked up in earlier segments.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from distrain.track.journal_reading import JournalRecord, metric_values, written_since

Point = tuple[str, float, int, int]


@final
@dataclass(frozen=True)
class Sent:
    """What is known of the points that a store has.

    Attributes:
        last_steps: metric to the greatest step.
        every_steps: steps between two records of the last attempt; None: it is not known.
        since: where that differs from an attempt before, or a line of one was damaged: the segment
            of the last attempt, and the step that it went on from; None: it never did.
        is_damaged: whether a line that may have been metrics was damaged.
    """

    last_steps: dict[str, int] = field(default_factory=dict)
    every_steps: int | None = None
    since: tuple[str, int] | None = None
    is_damaged: bool = False


def new_points(
    records: Sequence[JournalRecord], sent: Sent, folder: Path
) -> tuple[list[Point], Sent]:
    """Return the points to send, and what is known after they were sent.

    Args:
        records: the next ones of the journal, of all kinds.
        sent: what was known before them.
        folder: the journal's folder.

    Returns:
        Name, value, time in milliseconds since 1970 and step of each point.
    """
    reached, points = dict(sent.last_steps), []
    before = _recorded_before(sent.since, folder)
    for record in records:
        if record.kind == "start":
            sent = _begun(record, sent)
            before = _recorded_before(sent.since, folder)
        elif record.kind == "damaged":
            sent = replace(sent, is_damaged=True)
        if record.kind not in ("metrics", "system"):
            continue
        step = record.payload["step"]
        is_of_last = sent.since is not None and record.segment == sent.since[0]
        for key, value in metric_values(record).items():
            is_between = is_of_last and (key, step) not in before
            if step > reached.get(key, -1) or is_between:
                reached[key] = max(step, reached.get(key, -1))
                points.append((key, value, record.time_ms, step))
    return points, replace(sent, last_steps=reached)


def _begun(start: JournalRecord, sent: Sent) -> Sent:
    """Return what is known when an attempt has begun."""
    every_steps = start.payload["every_steps"]
    differs = sent.every_steps not in (None, every_steps) or sent.since is not None
    differs = differs or sent.is_damaged
    # Without exact bits, only what a checkpoint covers was sent, and nothing is sent again.
    is_looked_up = differs and start.payload["is_exact"]
    since = (start.segment, int(start.payload["step"])) if is_looked_up else None
    return replace(sent, every_steps=every_steps, since=since)


def _recorded_before(since: Sequence[Any] | None, folder: Path) -> frozenset[tuple[str, int]]:
    """Return metric and step of what attempts before the last one recorded beyond its beginning."""
    return frozenset() if since is None else _read_before(since[0], since[1], folder)


@functools.lru_cache(maxsize=4)
def _read_before(segment: str, after: int, folder: Path) -> frozenset[tuple[str, int]]:
    # Kept, because nobody writes to earlier segments, and there is a portion every few seconds.
    return frozenset(_keys_and_steps(segment, after, folder))


def _keys_and_steps(segment: str, after: int, folder: Path) -> Iterator[tuple[str, int]]:
    writer = segment.rpartition("-")[0]
    for record in written_since(after, writer, folder):
        if record.kind == "metrics" and record.segment < segment:
            for key in record.payload["values"]:
                yield key, record.payload["step"]
