"""Early termination: the rungs, what it saved, and whether it was right."""

from collections.abc import Sequence

from distrain.cost import hours_text
from distrain.durations import duration_text
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.parts import Column, Piece, Row, folded, note, stacked_bar, table
from distrain.report.page.shell import Section
from distrain.report.page.words import counted, number_text, share_text
from distrain.report.search.plot import NAMES, TONES
from distrain.report.search.savings import KINDS, Savings
from distrain.report.search.standings import Rung, rungs
from distrain.report.search.view import SearchView

LISTED = 1_000
"""So many stopped trials are listed one by one."""


def stopping_section(search: SearchView, saved: Savings) -> Section:
    """Return what the scheduler did.

    Args:
        search: the search.
        saved: what it cost and saved.
    """
    name, found = search.tune.scheduler.name, rungs(search)
    parts = [_epochs(saved), _rungs(search, found), _audit(search, saved), _stopped(search)]
    lead = _lead(name, saved)
    num_taking_over = sum(one.num_taking_over for one in found)
    if num_taking_over:
        times = "once" if num_taking_over == 1 else f"{num_taking_over:,} times"
        lead = (
            f"At {counted(len(found), 'rung')} a trial took over from a better one {times}. {lead}"
        )
    return Section("stopping", title_of_stopping(search), joined(parts), lead)


def title_of_stopping(search: SearchView) -> str:
    """Return what the section is called: a population stops nobody."""
    return "The population" if search.tune.scheduler.name == "pbt" else "Early termination"


def _lead(name: str, saved: Savings) -> str:
    if name == "none":
        return "There was none: every trial ran to its end."
    if not saved.num_stopped:
        return f"{name} stopped no trial."
    of_all = f"{saved.num_stopped:,} of {saved.spent.num_trials:,} trials"
    told = f"{name} ended {of_all} before their time"
    if saved.saved_epochs is None or saved.saved_fraction is None:
        return f"{told}."
    share = share_text(saved.saved_fraction)
    less = f"which saved up to {saved.saved_epochs:,} epochs ({share} of all)"
    time = f" and {duration_text(saved.saved_s)} of training" if saved.saved_s else ""
    hours = saved.gpu_hours(saved.saved_s or 0.0)
    gpus = f", {hours_text(hours)}" if hours else ""
    return f"{told}, {less}{time}{gpus}."


def _epochs(saved: Savings) -> Markup:
    """Return all epochs as one bar: those of each kind of trial, and those that were saved."""
    pieces = [
        Piece(f"{NAMES[kind]}:", float(effort.epochs), f"{effort.epochs:,} epochs", TONES[kind])
        for kind in KINDS
        if (effort := saved.by_kind[kind]).epochs
    ]
    if saved.saved_epochs:
        text = f"{saved.saved_epochs:,} epochs"
        pieces.append(Piece("saved, at most:", float(saved.saved_epochs), text, "spared"))
    spent = saved.spent
    text = f"{spent.epochs:,} epochs were spent, {duration_text(spent.train_s)} inside trials"
    after = saved.afterwards
    if after.epochs:
        text += f"; {after.epochs:,} more came after the search, for other seeds and the audit"
    return joined([tag("h3", "Epochs"), tag("p", f"{text}.", class_="lead"), stacked_bar(pieces)])


def _rungs(search: SearchView, found: Sequence[Rung]) -> Markup | None:
    if not found:
        return None
    takes_over = any(one.num_taking_over for one in found)
    ends = [Column("took over", is_number=True)] if takes_over else []
    if not takes_over or any(one.num_stopped for one in found):
        ends.append(Column("stopped", is_number=True))
    columns = [
        Column("rung", is_number=True),
        Column(search.time_attr, is_number=True),
        Column("compared", is_number=True),
        Column("went on", is_number=True),
        *ends,
        Column("needed in the end", is_number=True),
        Column("best there", is_number=True),
        Column("by"),
    ]
    rows = [Row(_rung(one, [column.title for column in ends])) for one in found]
    return joined([tag("h3", "Rungs"), table(columns, rows)])


def _rung(rung: Rung, ends: Sequence[str]) -> list[str]:
    counts = {"took over": rung.num_taking_over, "stopped": rung.num_stopped}
    number, value = rung.best if rung.best is not None else (None, None)
    return [
        str(rung.index),
        f"{rung.time:,}",
        f"{rung.num_judged:,}",
        f"{rung.num_passed:,}",
        *(f"{counts[end]:,}" for end in ends),
        number_text(rung.cut),
        number_text(value),
        "" if number is None else f"trial {number}",
    ]


def _stopped(search: SearchView) -> Markup | None:
    """Return each trial that did not run to its end, when that was and why, folded."""
    found = [one for one in search.trials if one.kind == "stopped" or one.was_ended_by_scheduler]
    if not found:
        return None
    columns = [
        Column("trial", is_number=True),
        Column("epochs", is_number=True),
        Column("after", is_number=True),
        Column(search.metric, is_number=True),
        Column("why"),
    ]
    rows = [
        Row(
            [
                str(one.number),
                f"{one.epochs:,}",
                duration_text(one.ended_s or 0.0),
                number_text(one.score),
                one.reason,
            ]
        )
        for one in found[:LISTED]
    ]
    more = f"And {len(found) - LISTED:,} more." if len(found) > LISTED else ""
    title = f"When and why each of the {counted(len(found), 'trial')} was stopped"
    return folded(title, joined([table(columns, rows), tag("p", more) if more else None]))


def _audit(search: SearchView, saved: Savings) -> Markup | None:
    """Return how often the scheduler was wrong, where that was asked for, or it stopped any."""
    audited = search.audit
    if audited is not None:
        tone = "warn" if audited.num_wrong else "good"
        return joined([tag("h3", "Audit"), note(f"{audited.text}.", tone)])
    if search.tune.audit_fraction:
        running = "The audit is not over." if search.result is None else "There was no audit."
        return joined([tag("h3", "Audit"), note(running)])
    if not saved.num_stopped:
        return None
    text = "Whether the stops were right was not looked at: tune.audit_fraction would tell."
    return joined([tag("h3", "Audit"), note(text)])
