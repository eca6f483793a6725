"""What figures have in common: scales on their axes, what stands above and below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

from distrain.report.page.markup import NOTHING, Content, Markup, coordinate, tag
from distrain.report.page.parts import legend
from distrain.report.page.room import Room, Size, Ticks
from distrain.report.page.scale import Scale, tick_text
from distrain.report.page.style import Tone


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
    """A room in which values have their places by a scale.

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

    @cached_property
    def room(self) -> Room:
        """Return the room, with a tick at each round value."""
        across = _ticks(self.x, 7 if self.size.width > 600 else 5)
        return Room(self.size, across, _ticks(self.y), self.x_label, self.y_label)

    def x_at(self, value: float) -> float | None:
        """Return a value's place across; None: it has none."""
        place = self.x.place(value)
        return None if place is None else self.room.x_at(place)

    def y_at(self, value: float) -> float | None:
        """Return a value's place down; None: it has none."""
        place = self.y.place(value)
        return None if place is None else self.room.y_at(place)


def _ticks(scale: Scale, count: int = 5) -> Ticks:
    found = ((scale.place(tick), tick_text(tick)) for tick in scale.ticks(count))
    return [(place, text) for place, text in found if place is not None]


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
