"""How often: upright bars over ranges of a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.report.page.frame import Frame, figure
from distrain.report.page.markup import Markup, coordinate, joined, tag
from distrain.report.page.room import HALF, Size
from distrain.report.page.scale import Scale, scale_of, tick_text
from distrain.report.page.style import Tone
from distrain.report.page.words import number_text


@final
@dataclass(frozen=True)
class Histogram:
    """How many values lie in each of several ranges.

    Attributes:
        caption: the figure's title.
        edges: the ranges' ends, ascending, one more than counts.
        counts: how many lie in each.
        x_label: what is measured.
        lead: a line below the title.
        tone: the bars' colour.
        size: its size.
    """

    caption: str
    edges: Sequence[float]
    counts: Sequence[int]
    x_label: str = ""
    lead: str = ""
    tone: Tone = "s0"
    size: Size = HALF


def histogram(drawn: Histogram) -> Markup:
    """Return the figure."""
    frame = Frame(
        drawn.size,
        Scale(drawn.edges[0], drawn.edges[-1]),
        scale_of([float(count) for count in drawn.counts], from_zero=True, pad=0.04),
        drawn.x_label,
        "count",
    )
    bars = [
        _column(frame, begin, end, count)
        for begin, end, count in zip(drawn.edges[:-1], drawn.edges[1:], drawn.counts, strict=True)
        if count
    ]
    shapes = joined([frame.room.axes(), tag("g", *bars, class_=f"area {drawn.tone}")])
    return figure(drawn.size, shapes, caption=drawn.caption, lead=drawn.lead)


def _column(frame: Frame, begin: float, end: float, count: int) -> Markup:
    left, right, top = frame.x_at(begin), frame.x_at(end), frame.y_at(count)
    assert left is not None
    assert right is not None
    assert top is not None
    wide = max(1.0, right - left - 1)
    path = (
        f"M{coordinate(left)} {coordinate(frame.room.bottom)}V{coordinate(top)}"
        f"h{coordinate(wide)}V{coordinate(frame.room.bottom)}z"
    )
    text = f"{tick_text(begin)} to {tick_text(end)}: {number_text(count)}"
    return tag("path", tag("title", text), d=path)
