"""What happened on the way: commands, attempts, and what the user was told."""

from typing import Final

from distrain.durations import duration_text
from distrain.past.story import AttemptStory
from distrain.report.page.markup import Markup, joined
from distrain.report.page.parts import Column, Row, folded, table
from distrain.report.page.shell import Section
from distrain.report.run.view import RunView, when_text

MAX_NOTES: Final = 12
_RESUMED: Final = "distrain.resume."
_NODE: Final = "distrain.node."
_DAY_MS: Final = 86_400_000


def attempts_section(run: RunView) -> Section | None:
    """Return attempts and notes; None where nothing was attempted."""
    if not run.story.attempts and not run.story.notes:
        return None
    drawn = [_attempts(run)] if run.story.attempts else []
    if run.story.notes:
        drawn.append(_notes(run))
    return Section("course", "What happened", joined(drawn), _lead(run))


def _lead(run: RunView) -> str:
    num_sessions, attempts = len(run.story.sessions), run.story.attempts
    commands = "one command" if num_sessions == 1 else f"{num_sessions:,} commands"
    tried = "one attempt" if len(attempts) == 1 else f"{len(attempts):,} attempts"
    nodes = [value for name, value in run.story.tags.items() if name.startswith(_NODE)]
    count = "" if len(nodes) == 1 else f"{len(nodes):,} nodes: "
    where = f", on {count}{', '.join(sorted(set(nodes)))}" if nodes else ""
    changed = [
        text
        for name, text in sorted(run.story.tags.items())
        if name.startswith(_RESUMED) and text != "nothing changed"
    ]
    told = f" Changed on the way: {'; '.join(changed)}." if changed else ""
    return f"{commands.capitalize()}, {tried} at training{where}.{told}"


def _attempts(run: RunView) -> Markup:
    columns = [
        Column("attempt", is_number=True),
        Column("began", is_number=True),
        Column("workers", is_number=True),
        Column("from step", is_number=True),
        Column("lasted", is_number=True),
        Column("what ended it"),
    ]
    attempts = run.story.attempts
    rows = []
    for place, attempt in enumerate(attempts):
        following = attempts[place + 1] if place + 1 < len(attempts) else None
        end_ms = following.asked_ms if following else attempt.last_ms or attempt.asked_ms
        rows.append(
            Row(
                [
                    str(place + 1),
                    _clock_text(run, attempt.asked_ms),
                    str(attempt.num_workers),
                    f"{attempt.from_step:,}" if attempt.began_ms is not None else "never began",
                    duration_text(max(0, end_ms - attempt.asked_ms) / 1000),
                    _end_text(run, attempt, following),
                ]
            )
        )
    return table(columns, rows)


def _clock_text(run: RunView, time_ms: int) -> str:
    """Return a moment, with its day where the run took longer than one."""
    begun = run.story.sessions[0].began_ms if run.story.sessions else time_ms
    day, _, clock = when_text(time_ms).removesuffix(" UTC").partition(" ")
    return f"{day} {clock}" if run.story.last_ms - begun > _DAY_MS else clock


def _end_text(run: RunView, attempt: AttemptStory, following: AttemptStory | None) -> str:
    """Return what was told just before the next attempt, or how the run stands."""
    if following is None:
        return {"stopped_early": "stopped early", "cut_off": "cut off"}.get(run.state, run.state)
    began_ms = attempt.began_ms or attempt.asked_ms
    told = [
        note.text
        for note in run.story.notes
        if began_ms <= note.time_ms <= following.asked_ms
        and not note.text.startswith("training goes on with")
    ]
    return told[-1] if told else ""


def _notes(run: RunView) -> Markup:
    notes = run.story.notes
    columns = [Column("when", is_number=True), Column("note")]
    rows = [Row([_clock_text(run, note.time_ms), note.text]) for note in notes]
    if len(rows) <= MAX_NOTES:
        return table(columns, rows, "What was told")
    earlier = folded(f"{len(rows) - MAX_NOTES:,} earlier notes", table(columns, rows[:-MAX_NOTES]))
    return joined([table(columns, rows[-MAX_NOTES:], "What was told last"), earlier])
