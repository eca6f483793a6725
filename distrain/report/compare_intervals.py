"""A figure of values with their intervals, one below the other on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.compare_words import interval_text
from distrain.report.page.frame import figure
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.room import LETTER, LINE, Size, line, words
from distrain.report.page.scale import Scale, scale_of, tick_text
from distrain.report.page.style import Tone

_WIDTH: Final = 500
_ROW: Final = 30
_END: Final = 5


@final
@dataclass(frozen=True)
class Interval:
    """A value and where it may lie.

    Attributes:
        name: whose it is.
        value: the value.
        ends: of its interval.
        tone: its colour.
    """

    name: str
    value: float
    ends: tuple[float, float]
    tone: Tone


@final
@dataclass(frozen=True)
class Intervals:
    """Values with their intervals.

    Attributes:
        caption: the figure's title.
        rows: the values, from the top.
        lead: a line below the title.
    """

    caption: str
    rows: Sequence[Interval]
    lead: str = ""


def intervals(drawn: Intervals) -> Markup:
    """Return the figure."""
    ends = [end for row in drawn.rows for end in (*row.ends, row.value)]
    scale = scale_of(ends, pad=0.08)
    left = max(len(row.name) for row in drawn.rows) * LETTER + 14
    bottom = _ROW * len(drawn.rows) + 4
    room = (left, _WIDTH - 14.0)
    shapes = [
        *(_tick(scale, tick, room, bottom) for tick in scale.ticks()),
        line(room[0], bottom, room[1], bottom, "axis"),
        *(_row(scale, row, room, _ROW * (at + 0.5)) for at, row in enumerate(drawn.rows)),
    ]
    size = Size(_WIDTH, bottom + LINE + 8, "half")
    return figure(size, joined(shapes), caption=drawn.caption, lead=drawn.lead)


def _tick(scale: Scale, tick: float, room: tuple[float, float], bottom: float) -> Markup:
    at = _place(scale, tick, room)
    name = words(at, bottom + LINE, tick_text(tick), anchor="middle")
    return joined([line(at, 0, at, bottom, "grid"), name])


def _row(scale: Scale, row: Interval, room: tuple[float, float], y: float) -> Markup:
    low, high = (_place(scale, end, room) for end in row.ends)
    at = _place(scale, row.value, room)
    path = f"M{low:.1f} {y:.1f}H{high:.1f}" + "".join(
        f"M{x:.1f} {y - _END:.1f}v{2 * _END}" for x in (low, high)
    )
    title = f"{row.name}: {row.value:.6g} {interval_text(row.ends)}"
    return tag(
        "g",
        tag("title", title),
        words(0, y + 4, row.name, name="name"),
        tag("path", d=path, class_=f"line {row.tone}"),
        tag("circle", cx=at, cy=y, r=4.5, class_=f"dot {row.tone}"),
    )


def _place(scale: Scale, value: float, room: tuple[float, float]) -> float:
    share = scale.place(value)
    assert share is not None, "an interval has ends"
    return room[0] + share * (room[1] - room[0])
