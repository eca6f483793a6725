"""The axis of scores: where a score lies on it, and how strongly it is shaded. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.config.names import Mode
from distrain.report.page.scale import Scale, scale_of, tick_text
from distrain.report.page.style import Tone, shade

_WIDE: Final = 50.0
"""Scores that differ by more than this ratio are drawn on a logarithmic axis."""
_FAINT_FROM: Final = 0.15
"""Share of the worst scores that are shaded alike: one that diverged would take all shades."""


@final
@dataclass(frozen=True)
class Scores:
    """An axis of scores.

    Attributes:
        scale: of the axis.
        mode: whether less or more is better.
        faint: the score that is shaded faintest, as are all worse ones.
        strong: the best score, shaded strongest.
    """

    scale: Scale
    mode: Mode
    faint: float
    strong: float

    def place(self, value: float | None) -> float | None:
        """Return where a score lies, 0 to 1; None: it has no place."""
        return None if value is None else self.scale.place(value)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """Return round scores as places with labels."""
        placed = [(self.scale.place(tick), tick_text(tick)) for tick in self.scale.ticks(count)]
        return [(place, text) for place, text in placed if place is not None]

    def merit(self, value: float) -> float:
        """Return how good a score is, from 0, the faintest, to 1, the best."""
        places = [self.scale.place(one) for one in (value, self.faint, self.strong)]
        at, faint, strong = (0.0 if place is None else place for place in places)
        if places[0] is None or strong == faint:
            return 0.0 if places[0] is None else 1.0
        return max(0.0, min(1.0, (at - faint) / (strong - faint)))

    def tone(self, value: float) -> Tone:
        """Return the shade of a score: the better, the stronger."""
        return shade(self.merit(value))


def scores_of(values: Iterable[float | None], mode: Mode) -> Scores:
    """Return the axis on which these scores have a place.

    Args:
        values: scores; None and what is not finite is passed over.
        mode: whether less or more is better.
    """
    known = sorted(value for value in values if value is not None and math.isfinite(value))
    scale = scale_of(known, is_log=_is_wide(known), pad=0.03)
    if not known:
        return Scores(scale, mode, scale.low, scale.high)
    worst_first = known if mode == "max" else known[::-1]
    faint = worst_first[int(_FAINT_FROM * (len(known) - 1))]
    return Scores(scale, mode, faint, worst_first[-1])


def _is_wide(known: Sequence[float]) -> bool:
    return bool(known) and known[0] > 0 and known[-1] / known[0] > _WIDE
