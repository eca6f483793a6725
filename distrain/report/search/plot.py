"""The room that a search's figures are drawn in, with ticks at given places, and its many trials.

Trials are drawn by the kind of their end, with one colour in all figures: gold for the winner.
Where there are many, dots of one kind are one path, so that a thousand of them stay small.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.page.frame import LETTER, LINE, Size, line, words
from distrain.report.page.markup import Markup, coordinate, joined, tag
from distrain.report.page.style import Tone
from distrain.report.page.words import number_text
from distrain.report.search.scoring import Scores
from distrain.report.search.trial import Kind, TrialView

TONES: Final[Mapping[Kind, Tone]] = {
    "finished": "s0",
    "stopped": "muted",
    "failed": "bad",
    "going": "s2",
}
WINNER: Final = "gold"
NAMES: Final[Mapping[Kind, str]] = {
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "going": "not ended yet",
}
FROM_BELOW: Final[tuple[Kind, ...]] = ("stopped", "finished", "going", "failed")
"""The order in which kinds are drawn, so that what matters lies above."""
FAILED: Final = "failed"
BELOW: Final = 18.0
"""Units below a room that trials without a score take."""
TITLED: Final = 250
"""So many dots have a text of their own, shown where the pointer rests on them."""

Ticks = Sequence[tuple[float, str]]


@final
@dataclass(frozen=True)
class Plot:
    """A room with ticks; places within it are from 0 to 1, from the left and from below.

    Attributes:
        size: of the whole figure.
        x: places across, with their labels.
        y: places up, with theirs.
        x_label: what is measured across.
        y_label: what is measured up.
        below: units left free below the room, for trials that failed.
    """

    size: Size
    x: Ticks
    y: Ticks
    x_label: str = ""
    y_label: str = ""
    below: float = 0.0

    @property
    def left(self) -> float:
        """Return where the room begins, behind the labels of the axis up."""
        labels = [*(text for _, text in self.y), *([FAILED] if self.below else [])]
        return max(map(len, labels), default=0) * LETTER + 12

    @property
    def right(self) -> float:
        """Return where the room ends."""
        return self.size.width - 14

    @property
    def top(self) -> float:
        """Return where the room begins, below the label of the axis up."""
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
            parts.append(words(self.left - 8, at, FAILED, anchor="end"))
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
                parts.append(words(begin, low + LINE + 2, text))
                free_from = begin + wide + 6
        return parts


@final
@dataclass(frozen=True)
class Dot:
    """A trial in a figure.

    Attributes:
        x: its place across, 0 to 1.
        y: its place up, 0 to 1.
        kind: of its end.
        title: what is shown where the pointer rests on it.
    """

    x: float
    y: float
    kind: Kind
    title: str


def dots(plot: Plot, drawn: Sequence[Dot]) -> Markup:
    """Return trials as dots: with texts where they are few, else as small as can be."""
    if len(drawn) <= TITLED:
        return joined(
            tag("g", *(_dot(plot, one) for one in of_kind), class_=f"dot {TONES[kind]}")
            for kind, of_kind in _by_kind(drawn)
        )
    return joined(
        tag("path", d=_points(plot, of_kind), class_=f"points {TONES[kind]}")
        for kind, of_kind in _by_kind(drawn)
    )


def place_of(plot: Plot, scores: Scores, trial: TrialView) -> float | None:
    """Return the place up of a trial: of its score, or below the room where it failed."""
    return plot.below_place if trial.kind == "failed" else scores.place(trial.score)


def star(plot: Plot, x: float, y: float, title: str) -> Markup:
    """Return the winner's dot, above all others."""
    circle = tag("circle", tag("title", title), cx=plot.x_at(x), cy=plot.y_at(y), r=6.5)
    return tag("g", circle, class_=f"dot {WINNER}")


def kinds_legend(trials: Iterable[TrialView], *, has_winner: bool) -> list[tuple[str, Tone]]:
    """Return what the colours of trials mean, of those kinds that there are."""
    there = {trial.kind for trial in trials}
    found = [(NAMES[kind], TONES[kind]) for kind in reversed(FROM_BELOW) if kind in there]
    return [("winner", WINNER), *found] if has_winner else found


def _by_kind(drawn: Sequence[Dot]) -> list[tuple[Kind, list[Dot]]]:
    grouped = [(kind, [one for one in drawn if one.kind == kind]) for kind in FROM_BELOW]
    return [(kind, of_kind) for kind, of_kind in grouped if of_kind]


def _dot(plot: Plot, dot: Dot) -> Markup:
    title = tag("title", dot.title)
    return tag("circle", title, cx=plot.x_at(dot.x), cy=plot.y_at(dot.y), r=4)


def _points(plot: Plot, drawn: Iterable[Dot]) -> str:
    """Return a path of points, which its round ends alone draw."""
    return "".join(
        f"M{coordinate(plot.x_at(dot.x))} {coordinate(plot.y_at(dot.y))}h0" for dot in drawn
    )


def title_of(trial: TrialView) -> str:
    """Return what is shown of a trial where the pointer rests on it."""
    score = (
        "" if trial.score is None or math.isnan(trial.score) else f": {number_text(trial.score)}"
    )
    return f"{trial.label}, {trial.state}{score}"
