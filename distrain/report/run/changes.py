"""What changed since the run of the experiment before this one, and how to ask of any other."""

from typing import Final

from distrain.compare.what_differs import Row as Change
from distrain.report.compare_words import cause_texts
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.parts import Column, Row, folded, note, table, to_paste
from distrain.report.page.shell import Section
from distrain.report.page.words import number_text
from distrain.report.run.view import RunView
from distrain.since import Since

MAX_SHOWN: Final = 24
_COLUMNS: Final = (
    Column("part"),
    Column("what"),
    Column("the run before"),
    Column("this run"),
)


def changes_section(run: RunView) -> Section:
    """Return what differs from the run before, and how it is held against any other."""
    since = run.since
    parts = []
    lead = "No run of the experiment that began before this one is at hand."
    if since is not None:
        moved = _metrics_text(run, since)
        parts += [note(moved)] if moved else []
        parts += _differences(since)
        lead = f"Against {since.run} ({since.before.status.replace('_', ' ')})."
    whose = "that run, or with any other" if since is not None else "another run"
    parts += [tag("h3", f"To compare it with {whose}"), to_paste(run.compare_line)]
    return Section("changes", "What changed since the run before", joined(parts), lead)


def _differences(since: Since) -> list[Markup]:
    """Return a table of what was made otherwise, and what follows from it."""
    found = since.differences
    rows = [_row(change) for change in found.causes]
    if not rows:
        text = "Nothing: configuration, data, code, libraries and machine are the same."
        return [note(text), *map(note, found.notes)]
    drawn = [table(_COLUMNS, rows[:MAX_SHOWN])]
    for title, rest in (
        (f"{len(rows) - MAX_SHOWN:,} more", rows[MAX_SHOWN:]),
        ("What follows from that of the data", [_row(change) for change in found.follows]),
    ):
        drawn += [folded(title, table(_COLUMNS, rest))] if rest else []
    return [*drawn, *map(note, found.notes)]


def _metrics_text(run: RunView, since: Since) -> str:
    """Return how the metrics that both runs have moved, in one line."""
    before = since.before.metrics
    names = [
        name for name in run.metrics if name in before and name.startswith(("test/", "validation/"))
    ]
    tested = [name for name in names if name.startswith("test/")] or names
    moved = [
        f"{name} {number_text(before[name])} → {number_text(run.metrics[name])}" for name in tested
    ]
    return ", ".join(moved)


def _row(change: Change) -> Row:
    return Row([change.part, change.what, *cause_texts(change)])
