"""Runs beside each other as one HTML page: what differs, what came of it, their curves."""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import distrain.report.page.parts as parts
from distrain.compare.comparing import CompareResult
from distrain.compare.curves import Curve
from distrain.compare.intervals import SPLIT
from distrain.compare.outcome import Outcome
from distrain.report.compare_intervals import Interval, Intervals, intervals
from distrain.report.compare_words import (
    cause_texts,
    gain_text,
    interval_text,
    same_text,
    value_texts,
)
from distrain.report.page.frame import Axis
from distrain.report.page.lines import Lines, Series, lines
from distrain.report.page.markup import NOTHING, Content, Markup, joined, tag
from distrain.report.page.parts import Card, Column, Row
from distrain.report.page.room import HALF
from distrain.report.page.shell import Outcome as Heading
from distrain.report.page.shell import Page, Section, page
from distrain.report.page.style import series_tone

MOST_FIGURES: Final = 6
MOST_CARDS: Final = 6
_TONES: Final = {"better": "good", "worse": "bad", "open": "muted"}
_GROUPS: Final = {
    "metrics": "Metrics",
    "end": "How they ended",
    "best": "The best trial's values",
    "time": "Time and throughput",
    "data": "Data that follows from what differs",
}


def compare_page(result: CompareResult, curves: Sequence[Curve]) -> str:
    """Return the page of a comparison.

    Args:
        result: the comparison.
        curves: what was measured while the runs were trained.
    """
    kind = "searches" if result.sides[0].is_search else "runs"
    titles = [side.key for side in result.sides]
    drawn = Page(
        kind=f"Comparison of {kind}",
        title=" · ".join(titles) if len(titles) == 2 else f"{len(titles)} {kind}",
        under=" · ".join(f"{side.letter} {side.key}, {side.status}" for side in result.sides),
        outcome=_heading(result),
        cards=_cards(result),
        sections=[
            Section("differs", "What differs", _differs(result), _differs_lead(result)),
            Section("outcome", "What came of it", _outcomes(result)),
            *_curves(result, curves),
        ],
        foot=f"distrain compare, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )
    return page(drawn)


def _heading(result: CompareResult) -> Heading:
    count = len(result.differences.causes)
    word = f"{count:,} thing{'s differ' if count != 1 else ' differs'}" if count else "Alike"
    return Heading(word, " ".join(_first_gains(result)), "accent")


def _first_gains(result: CompareResult) -> list[str]:
    """Return in words how much better runs are by the first metric that tells."""
    for outcome in result.outcomes:
        told = [
            f"{outcome.what} of {side.letter} against A: {gain_text(gain)[0]}."
            for side, gain in zip(result.sides, outcome.gains, strict=False)
            if gain is not None
        ]
        if told:
            return told
    return []


def _cards(result: CompareResult) -> list[Card]:
    """Return a card for each run: its value of the first test metric."""
    tested = [o for o in result.outcomes if o.kind == "metric" and o.what.startswith(SPLIT)]
    main = next((o for o in tested if any(o.intervals)), next(iter(tested), None))
    if main is None or len(result.sides) > MOST_CARDS:
        return []
    texts = value_texts(main)
    return [
        Card(
            f"{side.letter} · {main.what}",
            texts[at],
            interval_text(main.intervals[at]),
            "good" if main.best == at else None,
        )
        for at, side in enumerate(result.sides)
    ]


def _differs_lead(result: CompareResult) -> str:
    return f"The same: {same_text(result.differences.same)}."


def _differs(result: CompareResult) -> Markup:
    causes = result.differences.causes
    if not causes:
        return parts.note("Nothing differs in what they were made from.")
    rows = [Row([row.part, row.what, *cause_texts(row)]) for row in causes]
    columns = [Column("part"), Column("what"), *_columns(result, is_number=False)]
    code = [
        parts.folded(f"{change.file}, from A to {change.letter}", _diff(change.lines))
        for change in result.differences.code
    ]
    return joined([parts.table(columns, rows), *code])


def _columns(result: CompareResult, *, is_number: bool) -> list[Column]:
    return [Column(side.letter, is_number=is_number) for side in result.sides]


def _diff(changed: Iterable[str]) -> Markup:
    """Return lines of changed code, those that came and went in colours."""
    tones = {"+": "good", "-": "bad", "@": "accent"}
    drawn: list[Content] = []
    for line in changed:
        tone = tones.get(line[:1])
        drawn += [parts.told(line, tone) if tone else line, "\n"]
    return tag("pre", tag("code", *drawn))


def _outcomes(result: CompareResult) -> Markup:
    drawn: list[Content] = []
    for group, title in _GROUPS.items():
        found = [outcome for outcome in result.outcomes if outcome.group == group]
        if not found:
            continue
        drawn.append(tag("h3", title))
        if group == "metrics":
            drawn.append(_interval_figures(result, found))
        is_number = group != "end"
        columns = [Column("what"), *_columns(result, is_number=is_number)]
        drawn.append(parts.table(columns, [_row(outcome) for outcome in found]))
    drawn += [parts.note(note) for note in result.notes]
    return joined(drawn)


def _row(outcome: Outcome) -> Row:
    texts = value_texts(outcome)
    name = tag("span", outcome.what, style="white-space:nowrap")
    return Row([name, *(_cell(outcome, at, text) for at, text in enumerate(texts))])


def _cell(outcome: Outcome, at: int, text: str) -> Markup:
    drawn: list[Content] = [parts.told(text, "good") if outcome.best == at else text]
    pair = interval_text(outcome.intervals[at]) if outcome.intervals else ""
    if pair:
        drawn += [tag("br"), parts.told(pair, "muted")]
    gain = outcome.gains[at] if outcome.gains else None
    if gain is not None:
        told, verdict = gain_text(gain)
        head, bracket, rest = told.partition(" [")
        drawn += [tag("br"), parts.told(head, _TONES[verdict])]
        drawn += [tag("br"), parts.told(f"[{rest}", _TONES[verdict])] if bracket else []
    return joined(drawn)


def _interval_figures(result: CompareResult, found: Sequence[Outcome]) -> Markup:
    """Return where the values of metrics lie that have intervals."""
    figures = []
    for outcome in found:
        rows = [
            Interval(side.letter, value, pair, series_tone(at))
            for at, (side, value, pair) in enumerate(
                zip(result.sides, outcome.values, outcome.intervals, strict=False)
            )
            if pair is not None
            and isinstance(value, int | float)
            and all(map(math.isfinite, (value, *pair)))
        ]
        if len(rows) > 1:
            figures.append(intervals(Intervals(outcome.what, rows, "with intervals of 95 %")))
    return parts.figures(*figures[:MOST_FIGURES]) if figures else NOTHING


def _curves(result: CompareResult, curves: Sequence[Curve]) -> Iterator[Section]:
    drawn = [_figure(result, curve) for curve in curves[:MOST_FIGURES]]
    if drawn:
        is_search = result.sides[0].is_search
        across = "trials that had ended" if is_search else "step"
        lead = f"What was measured while they were trained, by {across}."
        yield Section("curves", "Curves", parts.figures(*drawn), lead)


def _figure(result: CompareResult, curve: Curve) -> Markup:
    series = [
        Series(side.letter, points, series_tone(at), title=f"{side.letter} {side.key}")
        for at, (side, points) in enumerate(zip(result.sides, curve.points, strict=True))
        if points
    ]
    across = "trials" if result.sides[0].is_search else "step"
    return lines(Lines(curve.metric, series, Axis(across), size=HALF))
