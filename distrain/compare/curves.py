"""What was measured while runs were trained, for a figure: validation metrics and loss, by step.

Of a search, the best value so far, by the trials that had ended. Of a journal that is large beyond
measure, the newest part, as in a report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.compare.sides import Side
from distrain.past.story import read_story
from distrain.run_folder import JOURNAL
from distrain.track.journal_reading import DRIVER, metric_values, written_by

_SHOWN: Final = ("validation/", "train/loss")
_BEST: Final = "search/best"

Points = tuple[tuple[float, float], ...]


@final
@dataclass(frozen=True)
class Curve:
    """A metric while runs were trained.

    Attributes:
        metric: its name.
        points: of each run, in their order: step, or trials that had ended, and value.
    """

    metric: str
    points: tuple[Points, ...]


def curves_of(sides: Sequence[Side]) -> tuple[Curve, ...]:
    """Return the curves of runs, or searches, that have any; the metrics of most runs first."""
    by_side = [_of_search(side) if side.is_search else _of_run(side) for side in sides]
    names = dict.fromkeys(name for curves in by_side for name in curves)
    found = [Curve(name, tuple(curves.get(name, ()) for curves in by_side)) for name in names]
    return tuple(sorted(found, key=lambda curve: -sum(map(bool, curve.points))))


def _of_run(side: Side) -> Mapping[str, Points]:
    story = read_story(side.run_dir / JOURNAL)
    curves = {name: tuple(story.points(name)) for name in story.metrics if name.startswith(_SHOWN)}
    return dict(sorted(curves.items(), key=lambda named: (named[1][:1], named[0])))


def _of_search(side: Side) -> Mapping[str, Points]:
    found = (
        (record.payload["step"], metric_values(record))
        for record in written_by(DRIVER, side.run_dir / JOURNAL)
        if record.kind == "metrics"
    )
    points = tuple((float(at), values[_BEST]) for at, values in found if _BEST in values)
    return {_BEST: points} if points else {}
