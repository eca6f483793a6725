"""Seconds since a search began, as an axis in the unit that suits them."""

from collections.abc import Sequence
from typing import final

from distrain.durations import duration_text
from distrain.report.page.markup import Markup, tag
from distrain.report.page.room import Room, Ticks, line
from distrain.report.page.scale import Scale, tick_text

_UNITS = ((2 * 86_400, 86_400, "days"), (2 * 3600, 3600, "hours"), (120, 60, "minutes"))


@final
class TimeAxis:
    """Seconds as places across, with ticks in a unit that suits them.

    Args:
        end_s: where the axis ends.

    Attributes:
        label: its unit, and since when.
        ticks: places with labels.
    """

    def __init__(self, end_s: float) -> None:
        self._end_s = end_s or 1.0
        unit_s, name = next(
            ((unit, name) for least, unit, name in _UNITS if end_s > least), (1, "seconds")
        )
        self.label = f"{name} since the search began"
        scale = Scale(0.0, self._end_s / unit_s)
        placed = [(scale.place(tick), tick_text(tick)) for tick in scale.ticks(8)]
        self.ticks: Ticks = [(at, text) for at, text in placed if at is not None]

    def at(self, seconds: float) -> float:
        """Return the place of a moment."""
        return min(1.0, seconds / self._end_s)


def resumed(at: Sequence[float], room: Room, across: TimeAxis) -> list[Markup]:
    """Return where further drivers took the search up; the time between is left out."""
    return [
        tag(
            "g",
            tag("title", f"resumed after {duration_text(at_s)}"),
            line(
                room.x_at(across.at(at_s)),
                room.top - 6,
                room.x_at(across.at(at_s)),
                room.bottom,
                "mark warn",
            ),
        )
        for at_s in at
    ]
