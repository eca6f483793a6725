"""What a run's journal still holds for MLflow, and what it has lost; nothing is sent to tell it."""

from pathlib import Path

from distrain.object_store.link import shown
from distrain.run_folder import JOURNAL
from distrain.track.journal_reading import (
    DRIVER,
    list_segments,
    lost_ends,
    missing_records,
    recorded_kinds,
)
from distrain.track.sending import GOES_ON
from distrain.track.watermark import Watermark


def is_unshipped(run_dir: Path, *, is_named: bool = False) -> bool:
    """Return whether a run's journal holds something to send, or has no end.

    Args:
        run_dir: the run's folder.
        is_named: whether the user means this run; otherwise, where it was found deleted at MLflow,
            there is nothing to send.
    """
    folder = run_dir / JOURNAL
    mark = Watermark.load(folder)
    if mark.is_deleted and not is_named:
        return False
    if mark.left_deleted and is_named:
        return True
    if not has_unsent(folder, mark) and mark.status not in ("", GOES_ON):
        return False
    return bool(recorded_kinds(folder, DRIVER))


def has_unsent(folder: Path, mark: Watermark) -> bool:
    """Return whether a journal holds something that a store has not been sent.

    Args:
        folder: the journal's folder.
        mark: how far it was shipped there.
    """
    if mark.artifacts or mark.models or mark.final or mark.without_data:
        return True
    return any(_has_line(path, mark.reached.get(path.name, 0)) for path in list_segments(folder))


def losses_at(run_dir: Path) -> list[str]:
    """Return what is cut off or missing of a run's journal, which nobody writes to."""
    folder = run_dir / JOURNAL
    return losses_of(folder, Watermark.load(folder))


def losses_of(folder: Path, mark: Watermark) -> list[str]:
    """Return where segments were cut off and whole lines are missing, each with its file.

    Reads all of the journal: a million lines took 1.4 s (one core, 2026-11-21).

    Args:
        folder: the journal's folder; nobody writes to it.
        mark: how far it was shipped.
    """
    cut = lost_ends(folder, mark.reached).items()
    told = [f"{shown(folder / segment)} is cut off at byte {offset}" for segment, offset in cut]
    for segment, gaps in missing_records(folder).items():
        numbers = ", ".join(f"{a} to {b}" if a < b else f"{a}" for a, b in gaps)
        where = shown(folder / segment)
        told.append(f"{where} lacks records that came before others of it: {numbers}")
    return told


def _has_line(segment: Path, start: int) -> bool:
    """Return whether a whole line begins at a byte: a torn end is nobody's to complete."""
    if segment.stat().st_size <= start:
        return False
    with segment.open("rb") as file:
        file.seek(start)
        return file.readline().endswith(b"\n")
