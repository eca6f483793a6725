"""What varies in a search, each with the place of a value between the ends of its axis."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.config.domains import key_of
from distrain.config.tune import ParameterSettings
from distrain.report.page.scale import Scale, tick_text

_LISTED: Final = ("choice", "grid")
_LOG: Final = ("loguniform", "lograndint")
_LONGEST: Final = 22
_SDS: Final = 2.5  # of a normal distribution: what is farther out widens the axis


@final
@dataclass(frozen=True)
class Dimension:
    """A key that varies.

    Attributes:
        path: its dotted key.
        scale: of numbers; None: its values are listed, in no order.
        listed: what tells its listed values apart, in the order in which they were written.
        labels: the same for people.
    """

    path: str
    scale: Scale | None
    listed: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return its key without the section, where that leaves a name."""
        return self.path.split(".", 1)[1] if "." in self.path else self.path

    @property
    def is_log(self) -> bool:
        """Return whether equal lengths of its axis are equal ratios."""
        return self.scale is not None and self.scale.is_log

    def place(self, value: Any) -> float | None:
        """Return where a value lies, from 0 to 1; None: it has no place on the axis."""
        if self.scale is not None:
            return self.scale.place(float(value)) if _is_number(value) else None
        key = key_of(value)
        if key not in self.listed:
            return None
        return (self.listed.index(key) + 0.5) / len(self.listed)

    def place_in(self, values: Any) -> float | None:
        """Return the place of a trial's value; None: it does not vary there."""
        return self.place(values[self.path]) if self.path in values else None

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """Return places along the axis, each with what is written beside it."""
        if self.scale is None:
            return [((at + 0.5) / len(self.labels), label) for at, label in enumerate(self.labels)]
        placed = [(self.scale.place(tick), tick_text(tick)) for tick in self.scale.ticks(count)]
        return [(place, text) for place, text in placed if place is not None]


def dimension_of(path: str, entry: ParameterSettings, seen: Iterable[Any]) -> Dimension:
    """Return what varies as an axis, on which all values that trials had have a place.

    Args:
        path: its dotted key.
        entry: of `tune.space`.
        seen: values of trials: the first one's, as written, may be none of the space's.
    """
    kind, values = entry.kinds[0], list(seen)
    if kind in _LISTED:
        return _listed(path, [*getattr(entry, kind), *values])
    numbers = [float(value) for value in values if _is_number(value)]
    if len(numbers) < len(values):  # as where no number is written
        return _listed(path, values)
    low, high = _ends(kind, getattr(entry, kind))
    if kind in _LOG:
        numbers = [value for value in numbers if value > 0]
    low, high = min([low, *numbers]), max([high, *numbers])
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Dimension(path, Scale(low, high, is_log=kind in _LOG and low > 0))


def value_text(value: Any) -> str:
    """Return a value for people, short: 0.00123, [64, 64], relu."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _listed(path: str, values: Sequence[Any]) -> Dimension:
    texts = {key_of(value): value_text(value) for value in values}
    return Dimension(path, None, tuple(texts), tuple(texts.values()))


def _ends(kind: str, bounds: Sequence[float]) -> tuple[float, float]:
    low, high = float(bounds[0]), float(bounds[1])
    if kind == "normal":
        return low - _SDS * high, low + _SDS * high
    return low, high - 1 if kind in ("randint", "lograndint") else high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
