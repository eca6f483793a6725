"""Every trial's curve in one figure, coloured by how it ended."""

from collections.abc import Sequence
from typing import Final

from distrain.report.page.frame import figure, path_of
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.room import WIDE, Room
from distrain.report.page.scale import Scale, scale_of, tick_text
from distrain.report.page.thinning import points_each, thinned
from distrain.report.page.words import counted
from distrain.report.search.plot import FROM_BELOW, TONES, WINNER, kinds_legend, title_of
from distrain.report.search.scoring import Scores, scores_of
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView

_DASH: Final = 4
"""Half the width of what is drawn of a curve of one value."""


def curves(search: SearchView, winner: int | None) -> Markup:
    """Return the figure; the winner's curve lies above all.

    Args:
        search: the search.
        winner: its number; None: there is none.
    """
    drawn = [trial for trial in search.trials if trial.curve]
    scores = scores_of((value for trial in drawn for _, value in trial.curve), search.mode)
    across = scale_of([time for trial in drawn for time, _ in trial.curve], from_zero=True)
    room = Room(
        WIDE,
        [
            (place, tick_text(tick))
            for tick in across.ticks(7)
            if (place := across.place(tick)) is not None
        ],
        scores.ticks(7),
        search.time_attr,
        search.metric,
    )
    most = points_each(len(drawn))
    groups = [
        _group(
            room, across, scores, [t for t in drawn if t.kind == kind and t.number != winner], most
        )
        for kind in FROM_BELOW
    ]
    won = [
        tag("path", tag("title", title_of(trial)), d=_path(room, across, scores, trial, most))
        for trial in drawn
        if trial.number == winner
    ]
    others = [trial for trial in drawn if trial.number != winner]
    shapes = [room.axes(), *groups, tag("g", *won, class_=f"line bold {WINNER}")]
    return figure(
        WIDE,
        joined(shapes),
        caption=f"{search.metric} of {counted(len(drawn), 'trial')} in training",
        lead=_with("A curve ends where its trial did; the pointer tells which it is", scores),
        items=kinds_legend(others, has_winner=bool(won)),
    )


def _with(text: str, scores: Scores) -> str:
    return f"{text}; {scores.note}." if scores.note else f"{text}."


def _group(
    room: Room, across: Scale, scores: Scores, trials: Sequence[TrialView], most: int
) -> Markup | None:
    if not trials:
        return None
    kind = trials[0].kind
    paths = [
        tag("path", tag("title", title_of(trial)), d=_path(room, across, scores, trial, most))
        for trial in trials
    ]
    weight = "line" if kind == "failed" else "line thin"
    return tag("g", *paths, class_=f"{weight} {TONES[kind]}")


def _path(room: Room, across: Scale, scores: Scores, trial: TrialView, most: int) -> str:
    kept = thinned(trial.curve, most)
    places = [(across.place(time), scores.place(value)) for time, value in kept]
    points = [
        (None if x is None else room.x_at(x), None if y is None else room.y_at(y))
        for x, y in places
    ]
    if len(points) == 1 and points[0][0] is not None:
        ((x, y),) = points
        assert x is not None
        points = [(x - _DASH, y), (x + _DASH, y)]
    return path_of(points)
