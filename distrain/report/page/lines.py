"""Curves: one or a thousand, with marks along the axis across and dots at values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from distrain.report.page.frame import PLAIN, Axis, Frame, figure, path_of
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.room import LETTER, WIDE, Size, line, words
from distrain.report.page.scale import Scale, scale_of
from distrain.report.page.style import Tone
from distrain.report.page.thinning import points_each, thinned

Point = tuple[float, float]
Weight = Literal["thin", "line", "bold"]
NAMED_SERIES = 12
"""A legend of more names than that says nothing: the figure's caller has one made of tones."""


@final
@dataclass(frozen=True)
class Series:
    """A curve.

    Attributes:
        name: what it is.
        points: x ascending; points that are not finite break the line.
        tone: its colour.
        weight: how thick it is drawn.
        title: what is shown where the pointer rests on it; empty: its name.
    """

    name: str
    points: Sequence[Point]
    tone: Tone
    weight: Weight = "line"
    title: str = ""


@final
@dataclass(frozen=True)
class Mark:
    """An event: a line from bottom to top.

    Attributes:
        x: where.
        label: what happened.
        tone: its colour.
    """

    x: float
    label: str
    tone: Tone


@final
@dataclass(frozen=True)
class Dot:
    """A value that is set off.

    Attributes:
        x: where across.
        y: where up.
        label: what it is.
        tone: its colour.
    """

    x: float
    y: float
    label: str
    tone: Tone


@final
@dataclass(frozen=True)
class Lines:
    """Curves in one figure.

    Attributes:
        caption: the figure's title.
        series: the curves; those that come later lie above.
        x: the axis across.
        y: the axis up.
        marks: events.
        dots: values that are set off.
        lead: a line below the title.
        legend: names and tones; None: those of the series.
        size: its size.
    """

    caption: str
    series: Sequence[Series]
    x: Axis = PLAIN
    y: Axis = PLAIN
    marks: Sequence[Mark] = ()
    dots: Sequence[Dot] = ()
    lead: str = ""
    legend: Sequence[tuple[str, Tone]] | None = None
    size: Size = WIDE


def lines(drawn: Lines) -> Markup:
    """Return the figure; curves of many points are thinned to what an eye can tell apart."""
    dots = [(dot.x, dot.y) for dot in drawn.dots]
    points = [point for series in drawn.series for point in series.points]
    frame = Frame(
        drawn.size,
        axis_scale(drawn.x, [x for x, _ in [*points, *dots]] + [mark.x for mark in drawn.marks]),
        axis_scale(drawn.y, (y for _, y in [*points, *dots]), pad=0.04),
        drawn.x.label,
        drawn.y.label,
    )
    most = points_each(len(drawn.series))
    shapes = joined(
        [
            frame.room.axes(),
            *(_curve(frame, series, most) for series in drawn.series),
            *_marks(frame, drawn.marks),
            *(dot(frame, each) for each in drawn.dots),
        ]
    )
    items = drawn.legend
    if items is None:
        many = len(drawn.series) > NAMED_SERIES
        items = [] if many else [(series.name, series.tone) for series in drawn.series]
    return figure(drawn.size, shapes, caption=drawn.caption, lead=drawn.lead, items=items)


def axis_scale(axis: Axis, values: Iterable[float], pad: float = 0.0) -> Scale:
    """Return the scale of an axis that takes in these values."""
    if axis.range is not None:
        return Scale(*axis.range, is_log=axis.is_log)
    return scale_of(values, is_log=axis.is_log, from_zero=axis.from_zero, pad=pad)


def _curve(frame: Frame, series: Series, most: int) -> Markup:
    kept = thinned(series.points, most)
    if len(kept) == 1:
        return dot(frame, Dot(*kept[0], series.title or series.name, series.tone))
    path = path_of([(frame.x_at(x), frame.y_at(y)) for x, y in kept])
    classes = f"line {series.tone}" + ("" if series.weight == "line" else f" {series.weight}")
    return tag("path", tag("title", series.title or series.name), d=path, class_=classes)


def dot(frame: Frame, drawn: Dot) -> Markup:
    """Return a value that is set off; nothing where it has no place."""
    x, y = frame.x_at(drawn.x), frame.y_at(drawn.y)
    if x is None or y is None:
        return Markup("")
    classes = f"dot {drawn.tone}"
    return tag("circle", tag("title", drawn.label), cx=x, cy=y, r=4.5, class_=classes)


def _marks(frame: Frame, marks: Sequence[Mark]) -> list[Markup]:
    """Return events with their labels, as far as labels do not run into each other."""
    drawn: list[Markup] = []
    free_from = frame.room.left - 1
    for mark in sorted(marks, key=lambda each: each.x):
        at = frame.x_at(mark.x)
        if at is None:
            continue
        rule = line(at, frame.room.top, at, frame.room.bottom, f"mark {mark.tone}")
        drawn.append(tag("g", tag("title", mark.label), rule))
        wide = len(mark.label) * LETTER
        begin = min(at + 5, frame.room.right - wide)
        if begin >= free_from:
            name = f"marked {mark.tone}"
            drawn.append(words(begin, frame.room.top - 4, mark.label, name=name))
            free_from = begin + wide + 12
    return drawn
