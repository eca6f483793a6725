"""From values to places along an axis, and the round values that are written beside it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from distrain.report.page.words import number_text


@final
@dataclass(frozen=True)
class Scale:
    """An axis' range.

    Attributes:
        low: the value at its beginning.
        high: the value at its end; above `low`.
        is_log: whether equal lengths are equal ratios; then `low` is above 0.
    """

    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float | None:
        """Return where a value lies, 0 at `low` and 1 at `high`; None: it has no place."""
        if not math.isfinite(value) or (self.is_log and value <= 0):
            return None
        low, high, at = (self._at(number) for number in (self.low, self.high, value))
        return (at - low) / (high - low)

    def ticks(self, count: int = 5) -> list[float]:
        """Return about `count` round values within the range."""
        if self.is_log:
            return _log_ticks(self.low, self.high, count)
        return round_ticks(self.low, self.high, count)

    def _at(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def scale_of(
    values: Iterable[float], *, is_log: bool = False, from_zero: bool = False, pad: float = 0.0
) -> Scale:
    """Return a scale on which all values have a place.

    Args:
        values: what is drawn; values that are not finite are passed over.
        is_log: ask for a logarithmic scale; values that are not above 0 are passed over.
        from_zero: whether a linear scale takes in 0.
        pad: share of the range that is left free at either end.
    """
    drawn = [value for value in values if math.isfinite(value) and (not is_log or value > 0)]
    if not drawn:
        return Scale(0.1, 1.0, is_log=True) if is_log else Scale(0.0, 1.0)
    low, high = min(drawn), max(drawn)
    if is_log:
        return _log_scale(low, high, pad)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        room = abs(low) / 2 or 0.5
        return Scale(low - room, high + room)
    room = (high - low) * pad
    return Scale(low - (0.0 if from_zero and low == 0 else room), high + room)


def _log_scale(low: float, high: float, pad: float) -> Scale:
    room = (high / low) ** pad if high > low else math.sqrt(10)
    return Scale(low / room, high * room, is_log=True)


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten between two values, about `count`."""
    wide = (high - low) / max(1, count)
    if not (math.isfinite(wide) and wide > 0):
        return [low]
    power = 10.0 ** math.floor(math.log10(wide))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wide * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = list(range(first, last + 1))
    if len(powers) < 2:
        return [tick for tick in round_ticks(low, high, count) if tick > 0]
    every = -(-len(powers) // max(2, count))
    return [10.0**power for power in powers[::every]]


def tick_text(value: float) -> str:
    """Return a tick's label, short: 0.2, 1,000, 20k, 3M, 1e-4."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 5e-4:
        mantissa, _, power = f"{value:.3g}".partition("e")
        return f"{mantissa}e{int(power)}" if power else f"{value:.0e}".replace("e-0", "e-")
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            unit = 1e3 if letter == "k" else limit
            return f"{value / unit:,.4g}{letter}"
    return number_text(value)
