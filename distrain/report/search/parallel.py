"""All trials over all parameters in one figure: a line each, from axis to axis, to its score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.page.frame import figure
from distrain.report.page.markup import Markup, coordinate, joined, tag
from distrain.report.page.room import LETTER, LINE, Size, line, words
from distrain.report.page.style import NUM_SHADES, shade
from distrain.report.page.words import counted
from distrain.report.search.dimension import Dimension
from distrain.report.search.plot import TONES, WINNER, title_of
from distrain.report.search.scoring import Scores, scores_of
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView

_ROOM: Final = 150
"""Units between two axes, where the figure is wider than the page for it."""
_BELOW: Final = 24
"""Units below the axes, where the line of a trial runs that has no place on one."""
_HEIGHT: Final = 400
_LONGEST: Final = 20


@final
@dataclass(frozen=True)
class _Room:
    """Where the axes stand.

    Attributes:
        size: of the figure.
        dimensions: one axis each, and one for the score behind them.
        scores: of that one.
    """

    size: Size
    dimensions: Sequence[Dimension]
    scores: Scores

    @property
    def top(self) -> float:
        return 2 * LINE + 6.0

    @property
    def bottom(self) -> float:
        return self.size.height - _BELOW - 14.0

    def x_at(self, index: int) -> float:
        left, right = 30.0, self.size.width - 70.0
        return left + index * (right - left) / max(1, len(self.dimensions))

    def y_at(self, place: float | None) -> float:
        if place is None:
            return self.bottom + _BELOW
        return self.bottom - place * (self.bottom - self.top)


def parallel(search: SearchView, winner: int | None) -> Markup:
    """Return the figure; better trials lie above worse ones, the winner above all.

    Args:
        search: the search.
        winner: its number; None: there is none.
    """
    drawn = [trial for trial in search.trials if trial.score is not None or trial.kind == "failed"]
    scores = scores_of((t.score for t in drawn if t.kind != "failed"), search.mode)
    width = max(1020, len(search.dimensions) * _ROOM + 100)
    room = _Room(Size(width, _HEIGHT, "wide"), search.dimensions, scores)
    failed = [trial for trial in drawn if trial.kind == "failed"]
    others = [trial for trial in drawn if trial.kind != "failed" and trial.number != winner]
    won = [trial for trial in drawn if trial.number == winner]
    shapes = [
        *_shaded(room, others),
        _lines(room, failed, f"line thin {TONES['failed']}"),
        _axes(room, search.metric, has_below=bool(failed) or _has_gaps(search)),
        _lines(room, won, f"line bold {WINNER}"),
    ]
    steps = " · ".join(
        (f"{scores.text(scores.faint)} or worse, faint", f"{scores.text(scores.best)}, strong")
    )
    count = counted(len(drawn), "trial")
    items = [("winner", WINNER)] if won else []
    items += [("faint to strong: worse to better", shade(0.75))]
    items += [("failed", TONES["failed"])] if failed else []
    return figure(
        room.size,
        joined(shapes),
        caption=f"{count}, each a line from its parameters to {search.metric}",
        lead=f"Shaded by score: {steps}{f'; {scores.note}' if scores.note else ''}.",
        items=items,
    )


def _has_gaps(search: SearchView) -> bool:
    return any(
        one.place_in(trial.values) is None for one in search.dimensions for trial in search.trials
    )


def _shaded(room: _Room, trials: Sequence[TrialView]) -> list[Markup | None]:
    """Return trials by the shade of their score, the faintest first."""
    shaded: dict[str, list[TrialView]] = {}
    for trial in trials:
        assert trial.score is not None
        # Squared, so that of a thousand lines the best are the strong ones.
        shaded.setdefault(shade(room.scores.merit(trial.score) ** 2), []).append(trial)
    names = [shade(at / NUM_SHADES) for at in range(NUM_SHADES)]
    weight = "line" if len(trials) <= 100 else "line thin"
    return [_lines(room, shaded.get(name, []), f"{weight} {name}") for name in names]


def _lines(room: _Room, trials: Sequence[TrialView], name: str) -> Markup | None:
    if not trials:
        return None
    paths = (tag("path", tag("title", title_of(one)), d=_path(room, one)) for one in trials)
    return tag("g", *paths, class_=name)


def _path(room: _Room, trial: TrialView) -> str:
    places = [one.place_in(trial.values) for one in room.dimensions]
    places.append(None if trial.kind == "failed" else room.scores.place(trial.score))
    points = (
        f"{coordinate(room.x_at(at))} {coordinate(room.y_at(place))}"
        for at, place in enumerate(places)
    )
    return "M" + "L".join(points)


def _axes(room: _Room, metric: str, *, has_below: bool) -> Markup:
    parts = [
        _axis(room, at, one.name, one.ticks(4), is_last=False)
        for at, one in enumerate(room.dimensions)
    ]
    parts.append(_axis(room, len(room.dimensions), metric, room.scores.ticks(5), is_last=True))
    if has_below:
        end = room.x_at(len(room.dimensions))
        parts.append(words(end + 8, room.y_at(None) + 4, "failed"))
    return joined(parts)


def _axis(
    room: _Room, index: int, name: str, ticks: Sequence[tuple[float, str]], *, is_last: bool
) -> Markup:
    at = room.x_at(index)
    anchor = "end" if is_last else ("start" if index == 0 else "middle")
    begin = {"end": room.size.width - 4.0, "start": 0.0, "middle": at}[anchor]
    parts = [
        line(at, room.top, at, room.bottom, "spine"),
        words(begin, 14, _short(name), anchor=anchor, name="name"),
    ]
    for place, text in ticks:
        y = room.y_at(place)
        wide = len(text) * LETTER
        parts.append(tag("rect", x=at + 5, y=y - 8, width=wide + 5, height=16, class_="veil"))
        parts.append(line(at - 3, y, at + 3, y, "spine"))
        parts.append(words(at + 8, y + 4, text))
    return joined(parts)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else "…" + name[-_LONGEST + 1 :]
