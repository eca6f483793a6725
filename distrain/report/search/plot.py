"""A search's many trials in a figure, and the winner among them.

Trials are drawn by the kind of their end, with one colour in all figures: gold for the winner.
Where there are many, dots of one kind are one path, so that a thousand of them stay small.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.page.markup import Markup, coordinate, joined, tag
from distrain.report.page.room import Room
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


def dots(room: Room, drawn: Sequence[Dot]) -> Markup:
    """Return trials as dots: with texts where they are few, else as small as can be."""
    if len(drawn) <= TITLED:
        return joined(
            tag("g", *(_dot(room, one) for one in of_kind), class_=f"dot {TONES[kind]}")
            for kind, of_kind in _by_kind(drawn)
        )
    return joined(
        tag("path", d=_points(room, of_kind), class_=f"points {TONES[kind]}")
        for kind, of_kind in _by_kind(drawn)
    )


def place_of(room: Room, scores: Scores, trial: TrialView) -> float | None:
    """Return the place up of a trial: of its score, or below the room where it failed."""
    return room.below_place if trial.kind == "failed" else scores.place(trial.score)


def star(room: Room, x: float, y: float, title: str) -> Markup:
    """Return the winner's dot, above all others."""
    circle = tag("circle", tag("title", title), cx=room.x_at(x), cy=room.y_at(y), r=6.5)
    return tag("g", circle, class_=f"dot {WINNER}")


def kinds_legend(trials: Iterable[TrialView], *, has_winner: bool) -> list[tuple[str, Tone]]:
    """Return what the colours of trials mean, of those kinds that there are."""
    there = {trial.kind for trial in trials}
    found = [(NAMES[kind], TONES[kind]) for kind in reversed(FROM_BELOW) if kind in there]
    return [("winner", WINNER), *found] if has_winner else found


def _by_kind(drawn: Sequence[Dot]) -> list[tuple[Kind, list[Dot]]]:
    grouped = [(kind, [one for one in drawn if one.kind == kind]) for kind in FROM_BELOW]
    return [(kind, of_kind) for kind, of_kind in grouped if of_kind]


def _dot(room: Room, dot: Dot) -> Markup:
    title = tag("title", dot.title)
    return tag("circle", title, cx=room.x_at(dot.x), cy=room.y_at(dot.y), r=4)


def _points(room: Room, drawn: Iterable[Dot]) -> str:
    """Return a path of points, which its round ends alone draw."""
    return "".join(
        f"M{coordinate(room.x_at(dot.x))} {coordinate(room.y_at(dot.y))}h0" for dot in drawn
    )


def title_of(trial: TrialView) -> str:
    """Return what is shown of a trial where the pointer rests on it."""
    score = (
        "" if trial.score is None or math.isnan(trial.score) else f": {number_text(trial.score)}"
    )
    return f"{trial.label}, {trial.state}{score}"
