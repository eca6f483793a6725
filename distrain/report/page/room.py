"""The room that values are drawn in: its size, its axes with their ticks, and what lies in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.page.markup import Markup, coordinate, joined, tag

LETTER: Final = 6.7
"""Width of a digit in units of a figure, at its letters' size."""
LINE: Final = 16
"""Height of a line of letters."""
_GAP: Final = 6

Ticks = Sequence[tuple[float, str]]
"""Places along an axis, each with what is written beside it."""


@final
@dataclass(frozen=True)
class Size:
    """A figure's size.

    Attributes:
        width: units across; a figure is drawn as wide as there is room, and its letters with it.
        height: units down.
        name: `half`: stands beside another; `wide`: has the page's width, and scrolls on a phone.
    """

    width: int
    height: int
    name: str


HALF: Final = Size(500, 300, "half")
WIDE: Final = Size(1020, 340, "wide")


@final
@dataclass(frozen=True)
class Room:
    """A room with ticks; places within it are from 0 to 1, from the left and from below.

    Attributes:
        size: of the whole figure.
        x: places across, with their labels.
        y: places up, with theirs.
        x_label: what is measured across.
        y_label: what is measured up.
        below: units left free below the room, for what has no place in it.
        below_label: what lies there.
    """

    size: Size
    x: Ticks
    y: Ticks
    x_label: str = ""
    y_label: str = ""
    below: float = 0.0
    below_label: str = ""

    @property
    def left(self) -> float:
        """Return where the room begins, behind the labels of the axis up."""
        labels = [*(text for _, text in self.y), *([self.below_label] if self.below else [])]
        return max(map(len, labels), default=0) * LETTER + 12

    @property
    def right(self) -> float:
        """Return where the room ends."""
        return self.size.width - 14

    @property
    def top(self) -> float:
        """Return where the room begins, below the label of the axis up and labels of marks."""
        return LINE + 14 if self.y_label else LINE

    @property
    def bottom(self) -> float:
        """Return where the room ends, above the labels of the axis across."""
        labels = 2 * LINE + 12 if self.x_label else LINE + 8
        return self.size.height - labels - self.below

    @property
    def below_place(self) -> float:
        """Return the place up, below 0, of what has no place in the room."""
        return -(self.below / 2 + 3) / (self.bottom - self.top)

    def x_at(self, place: float) -> float:
        """Return a place across, in the figure's units."""
        return self.left + place * (self.right - self.left)

    def y_at(self, place: float) -> float:
        """Return a place up, in the figure's units, which count from the top."""
        return self.bottom - place * (self.bottom - self.top)

    def axes(self, *, has_grid: bool = True) -> Markup:
        """Return the grid, the ticks with their labels, and what is measured."""
        parts = [self._y_tick(*tick, has_grid=has_grid) for tick in self.y]
        parts += self._x_ticks()
        if self.below:
            at = self.y_at(self.below_place) + 4
            parts.append(words(self.left - 8, at, self.below_label, anchor="end"))
        parts.append(line(self.left, self.bottom, self.right, self.bottom, "axis"))
        if self.x_label:
            parts.append(words(self.right, self.size.height - 6, self.x_label, anchor="end"))
        if self.y_label:
            parts.append(words(0, 12, self.y_label))
        return joined(parts)

    def _y_tick(self, place: float, text: str, *, has_grid: bool) -> Markup:
        at = self.y_at(place)
        label = words(self.left - 8, at + 4, text, anchor="end")
        rule = line(self.left, at, self.right, at, "grid") if has_grid else None
        return joined([rule, label])

    def _x_ticks(self) -> list[Markup]:
        """Return the ticks across; a label that would run into the last one is left out."""
        parts: list[Markup] = []
        low, free_from = self.bottom + self.below, 0.0
        for place, text in self.x:
            at, wide = self.x_at(place), len(text) * LETTER
            is_last = at + wide / 2 > self.size.width
            parts.append(line(at, low, at, low + 4, "axis"))
            begin = self.size.width - wide if is_last else at - wide / 2
            if begin >= free_from:
                end, anchor = (self.size.width, "end") if is_last else (at, "middle")
                parts.append(words(end, low + LINE + 2, text, anchor=anchor))
                free_from = begin + wide + _GAP
        return parts


def line(x1: float, y1: float, x2: float, y2: float, name: str) -> Markup:
    """Return a straight line of the class `name`."""
    path = f"M{coordinate(x1)} {coordinate(y1)}L{coordinate(x2)} {coordinate(y2)}"
    return tag("path", d=path, class_=name)


def words(
    x: float, y: float, text: str, *, anchor: str | None = None, name: str | None = None
) -> Markup:
    """Return a text at a place; `anchor` is `middle` or `end`, `name` its class."""
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=name)
