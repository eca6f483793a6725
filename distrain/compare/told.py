"""What a run's journal says of it for a comparison: its tags, and the seconds that it took.

Only what the driver has written is read: a training loop's records may be gigabytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from distrain.track.journal_reading import DRIVER, JournalRecord, written_by
from distrain.track.sending import GOES_ON


@final
@dataclass(frozen=True)
class Told:
    """What the driver of a run has recorded.

    Attributes:
        tags: the last value of each.
        took_s: seconds from the start of each attempt to its end, together; None: it has no end.
        num_attempts: how often it was begun, or gone on with.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    took_s: float | None = None
    num_attempts: int = 0


def read_told(journal: Path) -> Told:
    """Return what the driver of a run has recorded.

    Args:
        journal: the journal's folder; a missing one is an empty journal.
    """
    return told_of(written_by(DRIVER, journal))


def told_of(records: Iterable[JournalRecord]) -> Told:
    """Return what a driver's records say, the oldest first."""
    tags: dict[str, str] = {}
    took_ms, began_ms, num_attempts, has_end = 0, 0, 0, False
    for record in records:
        if record.kind == "run":
            tags |= record.payload.get("tags", {})
            began_ms, num_attempts = record.time_ms, 1
        elif record.kind == "tags":
            tags |= record.payload
        elif record.kind == "status" and record.payload.get("status") == GOES_ON:
            began_ms, has_end = record.time_ms, False
            num_attempts += 1
        elif record.kind == "status":
            # An attempt that was killed has no end of its own; who closes it gives it one.
            ended_ms = record.payload.get("ended_ms") or record.time_ms
            took_ms += ended_ms - began_ms if not has_end else 0
            has_end = True
    return Told(tags, took_ms / 1000 if has_end else None, num_attempts)
