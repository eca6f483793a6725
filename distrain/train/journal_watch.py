"""A run's journal, shown while it is written."""

import logging
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from distrain.background import in_background
from distrain.display import Display
from distrain.track.journal_reading import Hidden, JournalRecord, list_segments, read_journal

WATCH_INTERVAL_S: Final = 0.25

logger = logging.getLogger(__name__)


def watching(journal: Path, display: Display) -> AbstractContextManager[None]:
    """Show the journal's new progress records and notes from a thread, until the block ends."""
    positions = {path.name: path.stat().st_size for path in list_segments(journal)}
    hidden = Hidden()

    def watch(has_ended: threading.Event) -> None:
        nonlocal positions
        is_last = is_failing = False
        while not is_last:
            is_last = has_ended.wait(WATCH_INTERVAL_S)
            try:
                records, positions = read_journal(journal, positions, hidden=hidden)
                for record in records:
                    _show(record, display)
                is_failing = False
            except OSError as fault:  # a disk that is away for a moment; the next look follows
                if not is_failing:
                    logger.warning("%s is not shown, and looked at again: %s", journal, fault)
                is_failing = True

    return in_background(watch, "journal-watch")


def _show(record: JournalRecord, display: Display) -> None:
    if record.kind == "progress":
        display.progress(record.payload)
    elif record.kind == "note":
        display.note(record.payload["text"])
