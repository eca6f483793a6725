"""Who won: its settings, what it came to, by how much it leads; and the leaderboard."""

from collections.abc import Sequence
from typing import Final

from distrain.durations import duration_text
from distrain.margin import margin
from distrain.report.loading import loading_lines
from distrain.report.page.markup import NOTHING, Content, Markup, joined, tag
from distrain.report.page.parts import Column, Row, facts, folded, note, table, to_paste, told
from distrain.report.page.shell import Section
from distrain.report.page.words import counted, number_text
from distrain.report.search.dimension import value_text
from distrain.report.search.plot import NAMES, TONES, WINNER
from distrain.report.search.scoring import Scores, scores_of
from distrain.report.search.standings import Entry, winner_of
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView

SHOWN: Final = 20


def winner_section(search: SearchView, entries: Sequence[Entry]) -> Section:
    """Return what there is to say of the winner, or of the best so far.

    Args:
        search: the search.
        entries: its leaderboard.
    """
    best = winner_of(entries)
    is_over = search.status == "finished"
    title = "The winner" if is_over else "The best so far"
    if best is None:
        text = "No trial has come to its end, so there is none."
        return Section("winner", title, note(text))
    parts = [_margin(search, entries), _facts(search, entries), _course(best.first)]
    parts.append(_lines(search, best))
    return Section("winner", title, joined(parts))


def _facts(search: SearchView, entries: Sequence[Entry]) -> Markup:
    best, result = entries[0], search.result
    trial, scores = best.first, scores_of_entries(search, entries)
    asked, num_whole = search.tune.num_seeds, len(best.setting.values)
    num = f"{asked}" if num_whole == asked else f"{num_whole} of {asked}"
    seeds = f", the mean over {num} seeds" if asked > 1 else ""
    own = dict(result.best["metrics"]) if result is not None and result.best else {}
    measured = {name: value for name, value in own.items() if name.startswith("test/")}
    rows: list[tuple[str, Content]] = [
        ("Trial", f"{trial.number}, after {trial.epochs:,} epochs"),
        (search.metric, told(f"{scores.text(best.score)}{seeds}", WINNER)),
        *((name, number_text(value)) for name, value in measured.items()),
        *((path, value_text(value)) for path, value in trial.values.items()),
    ]
    goals = result.goals if result is not None else ()
    for goal in goals:
        reached = number_text(goal.value)
        tone = "good" if goal.is_met else "bad"
        text = f"{goal.goal}: {'met' if goal.is_met else 'not met'}, with {reached}"
        rows.append((f"Goal {goal.metric}", told(text, tone)))
    if result is not None and result.model is not None:
        alias = f", alias {result.model.alias}" if result.model.alias else ""
        rows.append(("Registered as", f"{result.model.name} version {result.model.version}{alias}"))
    return facts(rows)


def _course(trial: TrialView) -> Markup:
    """Return which values were in force from which step on, where they changed."""
    if not trial.changes:
        return NOTHING
    keys = [*trial.first_values]
    columns = [Column("from step", is_number=True), *(Column(key, is_number=True) for key in keys)]
    values, rows = dict(trial.first_values), []
    for step, changed in [(0, {}), *((one["step"], one["values"]) for one in trial.changes)]:
        values |= changed
        rows.append(Row([f"{step:,}", *(value_text(values[key]) for key in keys)]))
    often = counted(len(trial.changes), "change")
    return folded(f"Its values in the course of its training, with {often}", table(columns, rows))


def _lines(search: SearchView, best: Entry) -> Markup:
    """Return what can be pasted: how to load the model, and how to ask why it won."""
    parts: list[Markup] = []
    model = search.result.model if search.result is not None else None
    if model is not None:
        lines = loading_lines(f"models:/{model.name}/{model.version}", search.tracking_uri)
        parts += [tag("h3", "To load it"), to_paste(lines)]
    command = f"distrain why {search.reference} {best.first.number}"
    return joined(
        [
            *parts,
            tag("h3", "Why it won" if search.status == "finished" else "Why it leads"),
            to_paste(command),
        ]
    )


def _margin(search: SearchView, entries: Sequence[Entry]) -> Markup:
    """Return by how much it leads, and what other seeds came to."""
    best = entries[0]
    confirmed = search.confirmed(best.first.number)
    settings = [entry.setting for entry in entries if entry.can_win]
    lead = margin(settings, search.mode, search.tune.num_seeds, confirmed)
    parts: list[Markup] = [note(lead.text(lambda number: f"trial {number}"), "accent")]
    if confirmed is not None:
        parts.append(note(f"With other seeds: {confirmed.text}."))
    elif search.tune.confirm and search.status == "running":
        parts.append(note(f"{search.tune.confirm} other seeds of it are still to come."))
    return joined(parts)


def leaderboard_section(search: SearchView, entries: Sequence[Entry]) -> Section:
    """Return the best settings in a table, and how many others there are.

    Args:
        search: the search.
        entries: its leaderboard.
    """
    shown = entries[:SHOWN]
    num_seeds = search.tune.num_seeds
    columns = [
        Column("#", is_number=True),
        Column("trial", is_number=True),
        Column(search.metric, is_number=True),
        *([Column(f"± of {num_seeds} seeds", is_number=True)] if num_seeds > 1 else []),
        Column("outcome"),
        Column("epochs", is_number=True),
        Column("time", is_number=True),
        *(Column(one.name, is_number=one.scale is not None) for one in search.dimensions),
    ]
    scores = scores_of_entries(search, entries)
    rows = [_row(search, scores, at, entry) for at, entry in enumerate(shown, 1)]
    parts = [table(columns, rows), tag("p", _rest(search, entries), class_="lead")]
    unit = "setting" if num_seeds > 1 else "trial"
    means = ", by their mean over seeds" if num_seeds > 1 else ""
    lead = (
        f"The best {len(shown)} of {counted(len(entries), unit)}{means}. Those that came to "
        "their end come first; of the others, those that got farthest."
    )
    return Section("leaderboard", "Leaderboard", joined(parts), lead)


def _row(search: SearchView, scores: Scores, rank: int, entry: Entry) -> Row:
    trial = entry.first
    word = NAMES[trial.kind] if trial.outcome is not None else trial.state.replace("_", " ")
    cells: list[Content] = [
        str(rank),
        str(trial.number),
        scores.text(entry.score),
        *([number_text(entry.std)] if search.tune.num_seeds > 1 else []),
        told(word, TONES[trial.kind]),
        f"{entry.epochs:,}",
        duration_text(sum(one.train_s for one in entry.trials)),
        *(value_text(trial.values.get(one.path, "–")) for one in search.dimensions),  # noqa: RUF001
    ]
    is_first = rank == 1 and entry.can_win
    return Row(cells, tone=WINNER if is_first else None)


def scores_of_entries(search: SearchView, entries: Sequence[Entry]) -> Scores:
    """Return the axis of the scores of a leaderboard."""
    return scores_of((entry.score for entry in entries), search.mode)


def _rest(search: SearchView, entries: Sequence[Entry]) -> str:
    """Return how many are not in the table, and of what kind they are."""
    rest = entries[SHOWN:]
    counts = [
        f"{count:,} {NAMES[kind]}"
        for kind in NAMES
        if (count := sum(entry.first.kind == kind for entry in rest))
    ]
    unscored = len(search.trials) - sum(len(entry.trials) for entry in entries)
    told = f"And {len(rest):,} more: {', '.join(counts)}." if rest else "That is all."
    return f"{told} {unscored:,} without a score." if unscored else told
