"""How the best score of a search came about."""

from collections.abc import Sequence

from distrain.durations import duration_text
from distrain.report.page.frame import figure, path_of
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.parts import by_room
from distrain.report.page.room import HALF, WIDE, Room, Size
from distrain.report.page.style import Tone
from distrain.report.search.plot import (
    BELOW,
    FAILED,
    WINNER,
    Dot,
    dots,
    kinds_legend,
    place_of,
    title_of,
)
from distrain.report.search.scoring import Scores, scores_of
from distrain.report.search.standings import Best
from distrain.report.search.times import TimeAxis, resumed
from distrain.report.search.view import SearchView


def best_figure(search: SearchView, found: Sequence[Best]) -> Markup:
    """Return the best score so far over time, and each trial where it ended.

    Args:
        search: the search.
        found: the moments at which the best changed.
    """
    return by_room(_drawn(search, found, WIDE), _drawn(search, found, HALF))


def _drawn(search: SearchView, found: Sequence[Best], size: Size) -> Markup:
    ended = [trial for trial in search.trials if trial.ended_s is not None]
    scores = scores_of([*(t.score for t in ended), *(best.value for best in found)], search.mode)
    across = TimeAxis(search.told.wall_s)
    below = BELOW if any(trial.kind == "failed" for trial in ended) else 0.0
    room = Room(size, across.ticks, scores.ticks(7), across.label, search.metric, below, FAILED)
    drawn = [
        Dot(across.at(trial.ended_s or 0.0), place, trial.kind, title_of(trial))
        for trial in ended
        if (place := place_of(room, scores, trial)) is not None
    ]
    steps = [
        (room.x_at(across.at(at)), None if place is None else room.y_at(place))
        for at, value in _steps(found, search.told.wall_s)
        for place in (scores.place(value),)
    ]
    best = tag("path", tag("title", "best so far"), d=path_of(steps), class_=f"line bold {WINNER}")
    shapes = [room.axes(), dots(room, drawn), best, *resumed(search.told.resumed_s, room, across)]
    items: list[tuple[str, Tone]] = [
        *([("best so far", WINNER)] if found else []),
        *kinds_legend(ended, has_winner=False),
    ]
    return figure(
        size,
        joined(shapes),
        caption=f"The best {search.metric} so far, and each trial where it ended",
        lead=_course_text(found, scores),
        items=items,
    )


def _course_text(found: Sequence[Best], scores: Scores) -> str:
    if not found:
        return "No trial has come to its end so far."
    last = found[-1]
    return (
        f"{scores.text(last.value)} was found by trial {last.trial} after "
        f"{duration_text(last.at_s)}, as the {_ordinal(last.num_ended)} trial to end"
        f"{f'; {scores.note}' if scores.note else ''}."
    )


def _ordinal(count: int) -> str:
    end = "th" if 10 <= count % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count:,}{end}"


def _steps(found: Sequence[Best], end_s: float) -> list[tuple[float, float]]:
    """Return the corners of the best score over time."""
    corners: list[tuple[float, float]] = []
    for best in found:
        if corners:
            corners.append((best.at_s, corners[-1][1]))
        corners.append((best.at_s, best.value))
    return [*corners, (max(end_s, corners[-1][0]), corners[-1][1])] if corners else []
