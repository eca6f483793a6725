"""The score over two parameters: bands of shades where trials are, and the trials themselves."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from distrain.report.page.frame import figure
from distrain.report.page.markup import Markup, coordinate, joined, tag
from distrain.report.page.room import Room, Size
from distrain.report.page.style import Tone
from distrain.report.page.words import number_text
from distrain.report.search.dimension import Dimension, value_text
from distrain.report.search.importance import Basis
from distrain.report.search.plot import Dot, dots, star
from distrain.report.search.scoring import Scores, scores_of
from distrain.report.search.surface import Surface, surface
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView

SIZE: Final = Size(1020, 400, "wide")


def contours(
    search: SearchView, basis: Basis, axes: tuple[Dimension, Dimension], winner: int | None
) -> Markup:
    """Return the figure.

    Args:
        search: the search.
        basis: the trials, with values that can be compared.
        axes: what is across, and up.
        winner: its number; None: there is none.
    """
    found = surface(basis, *axes)
    scores = scores_of((value for row in found.cells for value in row), search.mode)
    room = Room(SIZE, found.x.ticks(6), found.y.ticks(5), found.x.path, found.y.path)
    placed = [
        (trial, dot)
        for trial, value in zip(basis.trials, basis.values, strict=True)
        if (dot := _dot(found, trial, value)) is not None
    ]
    shapes = [
        tag("g", *_bands(room, found, scores), class_="bands"),
        room.axes(has_grid=False),
        tag("g", dots(room, [dot for t, dot in placed if t.number != winner]), class_="over"),
        *(
            star(room, dot.x, dot.y, f"winner, {dot.title}")
            for t, dot in placed
            if t.number == winner
        ),
    ]
    low, high = scores.text(scores.faint), scores.text(scores.best)
    return figure(
        SIZE,
        joined(shapes),
        caption=f"{search.metric} over {found.x.path} and {found.y.path}",
        lead=f"Smoothed over {basis.text}, from {low} (faint) to {high} (strong); blank where no "
        "trial is near.",
    )


def _bands(room: Room, found: Surface, scores: Scores) -> Iterator[Markup]:
    """Yield the cells by shade: those beside each other are one stroke of a path."""
    strokes: dict[Tone, list[str]] = {}
    num_rows, num_columns = len(found.cells), len(found.cells[0])
    for row, cells in enumerate(found.cells):
        low, high = (coordinate(room.y_at((row + at) / num_rows)) for at in (0, 1))
        for tone, first, count in _runs(cells, scores):
            # Each edge is the next one's, to the digit: else lines of nothing would be between.
            begin, end = (coordinate(room.x_at(at / num_columns)) for at in (first, first + count))
            box = f"M{begin} {low}H{end}V{high}H{begin}z"
            strokes.setdefault(tone, []).append(box)
    for tone, boxes in sorted(strokes.items()):
        yield tag("path", d="".join(boxes), class_=f"area {tone}")


def _runs(cells: Sequence[float | None], scores: Scores) -> Iterator[tuple[Tone, int, int]]:
    """Yield the shade, the first place and the number of cells of one shade in a row."""
    tones = [None if value is None else scores.tone(value) for value in cells]
    first = 0
    for tone, run in itertools.groupby(tones):
        count = len(list(run))
        if tone is not None:
            yield tone, first, count
        first += count


def _dot(found: Surface, trial: TrialView, value: float) -> Dot | None:
    x, y = found.x.place_in(trial.values), found.y.place_in(trial.values)
    if x is None or y is None:
        return None
    told = ", ".join(f"{d.name} {value_text(trial.values[d.path])}" for d in (found.x, found.y))
    return Dot(x, y, trial.kind, f"{trial.label}, {number_text(value)}: {told}")
