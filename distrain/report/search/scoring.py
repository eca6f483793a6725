"""The axis of scores: where a score lies on it, and how strongly it is shaded. Pure.

In a search most scores lie close to the best, and some far away. Where they do, the axis is
stretched towards the best: it is even in the logarithm of what a score is behind the best, beyond
a tenth of what the one in the middle is.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from distrain.config.names import Mode
from distrain.report.page.scale import round_ticks, tick_text
from distrain.report.page.style import Tone, shade
from distrain.report.page.words import number_text

_SKEWED: Final = 0.2
"""The axis is stretched where half of the scores lie in that share of the range, at the best."""
_FAINT_FROM: Final = 0.15
"""Share of the worst scores that are shaded alike: one that diverged would take all shades."""
_FINEST: Final = 5
"""Ticks are looked for in the whole range, in its best tenth, hundredth and so on, so often."""
_PAD: Final = 0.03


@final
@dataclass(frozen=True)
class Scores:
    """An axis of scores.

    Attributes:
        mode: whether less or more is better.
        best: the best score, which is shaded strongest.
        worst: the worst one.
        faint: the score that is shaded faintest, as are all worse ones.
        bend: what a score is behind the best where the axis turns from even to logarithmic; None:
            it is even throughout.
    """

    mode: Mode
    best: float
    worst: float
    faint: float
    bend: float | None

    @property
    def note(self) -> str:
        """Return what has to be said of the axis; empty: nothing."""
        return "" if self.bend is None else "axis stretched towards the best"

    def place(self, value: float | None) -> float | None:
        """Return where a score lies, 0 to 1, the greater the higher; None: it has no place."""
        if value is None or not math.isfinite(value):
            return None
        whole = self._behind(self.worst)
        behind = self._behind(value) / whole if whole else 0.5
        inner = max(0.0, min(1.0, behind))
        at = 1 - inner if self.mode == "max" else inner
        return _PAD + (1 - 2 * _PAD) * at

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """Return round scores as places with labels, as many as do not run into each other."""
        low, high = min(self.best, self.worst), max(self.best, self.worst)
        found: dict[float, float] = {}
        for fineness in range(_FINEST if self.bend is not None else 1):
            reach = (high - low) / 10**fineness
            near = high - reach if self.mode == "max" else low
            for tick in round_ticks(near, near + reach, count):
                place = self.place(tick) if low <= tick <= high else None
                if place is not None and _is_free(place, found.values(), 0.5 / count):
                    found[tick] = place
        return [(place, tick_text(tick)) for tick, place in sorted(found.items())]

    def merit(self, value: float) -> float:
        """Return how good a score is, from 0, the faintest, to 1, the best."""
        if not math.isfinite(value):
            return 0.0
        whole = self._behind(self.faint)
        return max(0.0, 1 - self._behind(value) / whole) if whole else 1.0

    def tone(self, value: float) -> Tone:
        """Return the shade of a score: the better, the stronger."""
        return shade(self.merit(value))

    def text(self, value: float | None) -> str:
        """Return a score with as many digits as tell the best ones apart."""
        if value is None or not math.isfinite(value):
            return number_text(value)
        size = math.floor(math.log10(abs(self.best))) if self.best else 0
        digits = max(0, 4 - size)
        return f"{value:.6g}" if digits > 8 or abs(value) >= 1e9 else f"{value:,.{digits}f}"

    def _behind(self, value: float) -> float:
        """Return how far a score is behind the best, along the axis."""
        gap = value - self.best if self.mode == "min" else self.best - value
        gap = max(0.0, gap)
        return gap if self.bend is None else math.log1p(gap / self.bend)


def scores_of(values: Iterable[float | None], mode: Mode) -> Scores:
    """Return the axis on which these scores have a place.

    Args:
        values: scores; None and what is not finite is passed over.
        mode: whether less or more is better.
    """
    known = sorted(value for value in values if value is not None and math.isfinite(value))
    if not known:
        return Scores(mode, 1.0, 0.0, 0.0, None) if mode == "max" else Scores(mode, 0, 1, 1, None)
    best_first = known if mode == "min" else known[::-1]
    best, worst, middle = best_first[0], best_first[-1], best_first[len(known) // 2]
    faint = best_first[int((1 - _FAINT_FROM) * (len(known) - 1))]
    gap, whole = abs(middle - best), abs(worst - best)
    is_skewed = math.isfinite(whole) and 0 < gap < _SKEWED * whole
    return Scores(mode, best, worst, faint, gap / 10 if is_skewed else None)


def _is_free(place: float, taken: Iterable[float], least: float) -> bool:
    return all(abs(place - other) >= least for other in taken)
