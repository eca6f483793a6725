"""Each parameter against the score: a small figure each."""

from collections.abc import Sequence
from typing import Final

from distrain.report.page.frame import figure
from distrain.report.page.markup import Markup, joined
from distrain.report.page.room import Room, Size
from distrain.report.page.words import number_text
from distrain.report.search.dimension import Dimension, value_text
from distrain.report.search.plot import BELOW, FAILED, Dot, dots, place_of, star
from distrain.report.search.scoring import Scores, scores_of
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView

SIZE: Final = Size(480, 260, "half")
MOST: Final = 12
_SPREAD: Final = 0.5
"""Share of a listed value's room over which its trials are spread, so that they can be told."""
_GOLDEN: Final = 0.6180339887


def slices(search: SearchView, order: Sequence[str], winner: int | None) -> list[Markup]:
    """Return a figure for each parameter, at most `MOST`.

    Args:
        search: the search.
        order: dotted keys, the most important first; others follow in the order of the space.
        winner: its number; None: there is none.
    """
    ranks = {path: at for at, path in enumerate(order)}
    shown = sorted(search.dimensions, key=lambda one: ranks.get(one.path, len(ranks)))[:MOST]
    failed, scored = search.of_kind("failed"), search.scored
    trials = [*scored, *failed]
    scores = scores_of((trial.score for trial in scored), search.mode)
    return [_slice(search, one, trials, scores, winner) for one in shown]


def _slice(
    search: SearchView,
    dimension: Dimension,
    trials: Sequence[TrialView],
    scores: Scores,
    winner: int | None,
) -> Markup:
    below = BELOW if any(trial.kind == "failed" for trial in trials) else 0.0
    room = Room(SIZE, dimension.ticks(4), scores.ticks(), below=below, below_label=FAILED)
    placed = [(trial, _dot(room, dimension, scores, trial)) for trial in trials]
    drawn = [dot for trial, dot in placed if dot is not None and trial.number != winner]
    won = [
        star(room, dot.x, dot.y, f"winner, {dot.title}")
        for trial, dot in placed
        if dot is not None and trial.number == winner
    ]
    lead = search.metric + (", over the logarithm" if dimension.is_log else "")
    lead += f", {scores.note}" if scores.note else ""
    missing = len(trials) - len(drawn) - len(won)
    lead += f"; {missing:,} trials without it left out" if missing else ""
    shapes = joined([room.axes(), dots(room, drawn), *won])
    return figure(SIZE, shapes, caption=dimension.path, lead=lead)


def _dot(room: Room, dimension: Dimension, scores: Scores, trial: TrialView) -> Dot | None:
    x, y = dimension.place_in(trial.values), place_of(room, scores, trial)
    if x is None or y is None:
        return None
    if dimension.scale is None:
        x += (trial.number * _GOLDEN % 1 - 0.5) * _SPREAD / len(dimension.listed)
    value = value_text(trial.values[dimension.path])
    title = f"{trial.label}, {trial.state}: {number_text(trial.score)} at {value}"
    return Dot(x, y, trial.kind, title)
