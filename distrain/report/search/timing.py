"""Where the time went: when trials ran, and what each kind of them cost."""

from distrain.cost import money_text
from distrain.durations import duration_text
from distrain.report.page.markup import Content, Markup, joined
from distrain.report.page.parts import Column, Row, table, told
from distrain.report.page.shell import Section
from distrain.report.page.style import Tone
from distrain.report.page.words import number_text, share_text
from distrain.report.search.gantt import gantt
from distrain.report.search.plot import NAMES, TONES
from distrain.report.search.savings import KINDS, Effort, Savings
from distrain.report.search.view import SearchView


def timing_section(search: SearchView, saved: Savings, winner: int | None) -> Section:
    """Return when trials ran and what they cost.

    Args:
        search: the search.
        saved: what it cost and saved.
        winner: its number; None: there is none.
    """
    parts = [gantt(search, winner)] if any(trial.spans for trial in search.trials) else []
    content = joined([*parts, _costs(saved)])
    return Section("time", "Where the time went", content, _lead(search, saved))


def _lead(search: SearchView, saved: Savings) -> str:
    told_s = duration_text(search.told.wall_s)
    if saved.busy is None:
        return f"{told_s}, and nothing ran."
    at_once = "one trial" if saved.num_places == 1 else f"{saved.num_places:,} trials"
    text = f"{told_s}, with at most {at_once} at once; "
    text += f"those places were in use {share_text(saved.busy)} of it."
    times = len(search.told.resumed_s)
    if times:
        often = "once" if times == 1 else f"{times:,} times"
        text += f" The search was taken up again {often}; the time between is not counted."
    return text


def _costs(saved: Savings) -> Markup:
    has_gpus, has_price = bool(saved.gpus), bool(saved.gpus) and saved.price is not None
    columns = [
        Column("trials that"),
        Column("number", is_number=True),
        Column("epochs", is_number=True),
        Column("time inside them", is_number=True),
        *([Column("GPU-hours", is_number=True)] if has_gpus else []),
        *([Column("cost", is_number=True)] if has_price else []),
    ]
    shown = [(told(NAMES[kind], TONES[kind]), saved.by_kind[kind]) for kind in KINDS]
    rows = [_row(saved, name, effort) for name, effort in shown if effort.num_trials]
    rows.append(_row(saved, "together", saved.spent, tone="total"))
    if saved.afterwards.num_trials:
        rows.append(_row(saved, "other seeds and audits, afterwards", saved.afterwards))
    return table(columns, rows)


def _row(saved: Savings, name: Content, effort: Effort, tone: Tone | None = None) -> Row:
    cells: list[Content] = [
        name,
        f"{effort.num_trials:,}",
        f"{effort.epochs:,}",
        duration_text(effort.train_s),
    ]
    if saved.gpus:
        cells.append(number_text(saved.gpu_hours(effort.train_s)))
    if saved.gpus and saved.price is not None:
        cells.append(money_text(saved.money(effort.train_s) or 0.0))
    return Row(cells, tone)
