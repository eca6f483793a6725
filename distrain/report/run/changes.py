"""What changed since the run of the experiment before this one."""

from typing import Final

from distrain.differences import Difference
from distrain.report.page.markup import joined
from distrain.report.page.parts import Column, Row, folded, note, table
from distrain.report.page.shell import Section
from distrain.report.page.words import number_text
from distrain.report.run.view import RunView

MAX_SHOWN: Final = 24
_LONGEST: Final = 64
_COLUMNS: Final = (
    Column("part"),
    Column("what"),
    Column("the run before"),
    Column("this run"),
)


def changes_section(run: RunView) -> Section | None:
    """Return what differs from the run before; None where none is at hand."""
    previous = run.previous
    if previous is None:
        return None
    parts = [note(_metrics_text(run))] if _metrics_text(run) else []
    rows = [_row(difference) for difference in previous.differences]
    if rows:
        parts.append(table(_COLUMNS, rows[:MAX_SHOWN]))
    else:
        parts.append(
            note("Nothing: configuration, data, code, libraries and machine are the same.")
        )
    if len(rows) > MAX_SHOWN:
        rest = table(_COLUMNS, rows[MAX_SHOWN:])
        parts.append(folded(f"{len(rows) - MAX_SHOWN:,} more", rest))
    status = previous.status.replace("_", " ") or "told no end"
    lead = f"Against {previous.run} ({status})."
    return Section("changes", "What changed since the run before", joined(parts), lead)


def _metrics_text(run: RunView) -> str:
    """Return how the metrics that both runs have moved, in one line."""
    previous = run.previous
    assert previous is not None
    names = [
        name
        for name in run.metrics
        if name in previous.metrics and name.startswith(("test/", "validation/"))
    ]
    tested = [name for name in names if name.startswith("test/")] or names
    moved = [
        f"{name} {number_text(previous.metrics[name])} → {number_text(run.metrics[name])}"
        for name in tested
    ]
    return ", ".join(moved)


def _row(difference: Difference) -> Row:
    shown = [_short(text) for text in (difference.was, difference.now)]
    return Row([difference.part, difference.what, *shown])


def _short(text: str | None) -> str:
    if text is None:
        return "(absent)"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
