"""What figures have in common: their size, their axes, what stands above and below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.report.page.markup import NOTHING, Content, Markup, coordinate, joined, tag
from distrain.report.page.parts import legend
from distrain.report.page.scale import Scale, tick_text
from distrain.report.page.style import Tone

LETTER = 6.7
"""Width of a digit in units of a figure, at its letters' size."""
LINE = 16
"""Height of a line of letters."""


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


HALF = Size(500, 300, "half")
WIDE = Size(1020, 340, "wide")


@final
@dataclass(frozen=True)
class Axis:
    """An axis as a caller asks for it.

    Attributes:
        label: what is measured, with its unit.
        is_log: whether equal lengths are equal ratios.
        from_zero: whether a linear axis takes in 0.
        range: its ends; None: those of the values.
    """

    label: str = ""
    is_log: bool = False
    from_zero: bool = False
    range: tuple[float, float] | None = None


PLAIN = Axis()
"""An axis without a label, over the values that there are."""


@final
@dataclass(frozen=True)
class Frame:
    """The room that values are drawn in.

    Attributes:
        size: of the whole figure.
        x: the scale across.
        y: the scale up.
        x_label: what is measured across.
        y_label: what is measured up.
    """

    size: Size
    x: Scale
    y: Scale
    x_label: str = ""
    y_label: str = ""

    @property
    def left(self) -> float:
        """Return where the room begins, behind the labels of the axis up."""
        longest = max((len(tick_text(tick)) for tick in self.y.ticks()), default=1)
        return longest * LETTER + 12

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
        return self.size.height - (2 * LINE + 12 if self.x_label else LINE + 8)

    def x_at(self, value: float) -> float | None:
        """Return a value's place across; None: it has none."""
        place = self.x.place(value)
        return None if place is None else self.left + place * (self.right - self.left)

    def y_at(self, value: float) -> float | None:
        """Return a value's place down; None: it has none."""
        place = self.y.place(value)
        return None if place is None else self.bottom - place * (self.bottom - self.top)

    def axes(self) -> Markup:
        """Return the grid, the ticks with their values, and the labels."""
        parts = [self._y_tick(tick) for tick in self.y.ticks()]
        parts += [self._x_tick(tick) for tick in self.x.ticks(7 if self.size.width > 600 else 5)]
        parts.append(line(self.left, self.bottom, self.right, self.bottom, "axis"))
        if self.x_label:
            end = self.size.height - 6
            parts.append(words(self.right, end, self.x_label, anchor="end"))
        if self.y_label:
            parts.append(words(0, 12, self.y_label))
        return joined(parts)

    def _y_tick(self, value: float) -> Markup:
        at = self.y_at(value)
        assert at is not None
        text = words(self.left - 8, at + 4, tick_text(value), anchor="end")
        return joined([line(self.left, at, self.right, at, "grid"), text])

    def _x_tick(self, value: float) -> Markup:
        at = self.x_at(value)
        assert at is not None
        short = line(at, self.bottom, at, self.bottom + 4, "axis")
        anchor = "end" if at > self.right - 12 else "middle"
        return joined([short, words(at, self.bottom + LINE + 2, tick_text(value), anchor=anchor)])


def line(x1: float, y1: float, x2: float, y2: float, name: str) -> Markup:
    """Return a straight line of the class `name`."""
    path = f"M{coordinate(x1)} {coordinate(y1)}L{coordinate(x2)} {coordinate(y2)}"
    return tag("path", d=path, class_=name)


def words(
    x: float, y: float, text: str, *, anchor: str | None = None, name: str | None = None
) -> Markup:
    """Return a text at a place; `anchor` is `middle` or `end`, `name` its class."""
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=name)


def path_of(points: Sequence[tuple[float | None, float | None]]) -> str:
    """Return the path through places; where one has none, the line is broken."""
    parts: list[str] = []
    is_down = False
    for x, y in points:
        if x is None or y is None:
            is_down = False
            continue
        parts.append(f"{'L' if is_down else 'M'}{coordinate(x)} {coordinate(y)}")
        is_down = True
    return "".join(parts)


def figure(
    size: Size,
    drawn: Markup,
    *,
    caption: str,
    lead: str = "",
    items: Sequence[tuple[str, Tone]] = (),
) -> Markup:
    """Return a figure with what stands above and below it.

    Args:
        size: its size.
        drawn: what the SVG holds.
        caption: its title.
        lead: a line below the title; empty: none.
        items: names and tones of its legend.
    """
    small: Content = tag("small", lead) if lead else NOTHING
    svg = tag(
        "svg",
        drawn,
        viewBox=f"0 0 {size.width} {size.height}",
        role="img",
        aria_label=caption,
    )
    return tag(
        "figure",
        tag("figcaption", caption, small),
        tag("div", svg, class_="scroll") if size.name == "wide" else svg,
        legend(items),
        class_=size.name,
    )
