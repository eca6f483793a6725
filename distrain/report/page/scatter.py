"""Points: one value against another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.report.page.frame import HALF, PLAIN, Axis, Frame, Size, figure, path_of
from distrain.report.page.lines import axis_scale
from distrain.report.page.markup import NOTHING, Markup, joined, tag
from distrain.report.page.style import Tone


@final
@dataclass(frozen=True)
class Spot:
    """A point.

    Attributes:
        x: its value across.
        y: its value up.
        tone: its colour.
        title: what is shown where the pointer rests on it.
    """

    x: float
    y: float
    tone: Tone
    title: str


@final
@dataclass(frozen=True)
class Scatter:
    """Points in one figure.

    Attributes:
        caption: the figure's title.
        spots: the points; those that come later lie above.
        x: the axis across.
        y: the axis up.
        lead: a line below the title.
        legend: names and tones.
        has_diagonal: whether the line where both values are equal is drawn.
        size: its size.
    """

    caption: str
    spots: Sequence[Spot]
    x: Axis = PLAIN
    y: Axis = PLAIN
    lead: str = ""
    legend: Sequence[tuple[str, Tone]] = ()
    has_diagonal: bool = False
    size: Size = HALF


def scatter(drawn: Scatter) -> Markup:
    """Return the figure; points without a place (no number, or none on a log axis) are left out."""
    frame = Frame(
        drawn.size,
        axis_scale(drawn.x, (spot.x for spot in drawn.spots), pad=0.03),
        axis_scale(drawn.y, (spot.y for spot in drawn.spots), pad=0.04),
        drawn.x.label,
        drawn.y.label,
    )
    radius = 4.0 if len(drawn.spots) <= 200 else 2.6
    parts = [frame.axes(), _diagonal(frame) if drawn.has_diagonal else NOTHING]
    parts += [_spot(frame, spot, radius) for spot in drawn.spots]
    return figure(
        drawn.size, joined(parts), caption=drawn.caption, lead=drawn.lead, items=drawn.legend
    )


def _spot(frame: Frame, spot: Spot, radius: float) -> Markup:
    x, y = frame.x_at(spot.x), frame.y_at(spot.y)
    if x is None or y is None:
        return NOTHING
    title = tag("title", spot.title)
    return tag("circle", title, cx=x, cy=y, r=radius, class_=f"dot {spot.tone}")


def _diagonal(frame: Frame) -> Markup:
    low, high = max(frame.x.low, frame.y.low), min(frame.x.high, frame.y.high)
    if low >= high:
        return NOTHING
    ends = [(frame.x_at(value), frame.y_at(value)) for value in (low, high)]
    return tag("path", d=path_of(ends), class_="mark muted")
