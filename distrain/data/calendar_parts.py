"""A date or time as where it lies in the day, the week and the year, and how late it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.columns import SECONDS_PER_DAY, TextRules, as_float64

# 1970-01-01 was a Thursday; weeks begin on Mondays.
_FIRST_MONDAY: Final = 4 * SECONDS_PER_DAY
_PERIODS: Final = {
    "day": SECONDS_PER_DAY,
    "week": 7 * SECONDS_PER_DAY,
    "year": 365.2425 * SECONDS_PER_DAY,
}
CYCLES: Final[dict[str, Sequence[str]]] = {
    "date32[day]": ("week", "year"),
    "timestamp[us]": ("day", "week", "year"),
    "time64[us]": ("day",),
}
"""The cycles that a column of each type has a place in."""

Floats32 = npt.NDArray[np.float32]


@final
@dataclass(frozen=True)
class CalendarFeature:
    """A time as (seconds - center) / spread, and sine and cosine of its place in each cycle.

    Args:
        name: the raw column.
        type_: the raw column's type, a key of `CYCLES`.
        fill: what takes the place of a missing time, in seconds.
        center: subtracted, in seconds.
        spread: divided by, above 0.
        indicator: whether a last feature says 1 where the time was missing.
    """

    name: str
    type_: str
    fill: float
    center: float
    spread: float
    indicator: bool = False

    @property
    def feature_names(self) -> list[str]:
        """Return the names of the features this column becomes."""
        waves = [
            f"{self.name}: {wave} of {cycle}"
            for cycle in CYCLES[self.type_]
            for wave in ("sine", "cosine")
        ]
        missing = [f"{self.name} is missing"] if self.indicator else []
        return [self.name, *waves, *missing]

    def write(self, column: pa.Array, rules: TextRules, out: Floats32) -> None:
        """Write the features of a column into `out`, shape `(n, len(feature_names))`, zeroed."""
        seconds = as_float64(column, self.name, self.type_, rules)
        is_missing = np.isnan(seconds)
        seconds = np.where(is_missing, self.fill, seconds)
        out[:, 0] = (seconds - self.center) / self.spread
        for number, cycle in enumerate(CYCLES[self.type_]):
            origin = _FIRST_MONDAY if cycle == "week" else 0
            angle = 2 * np.pi * ((seconds - origin) / _PERIODS[cycle] % 1.0)
            out[:, 1 + 2 * number] = np.sin(angle)
            out[:, 2 + 2 * number] = np.cos(angle)
        if self.indicator:
            out[:, -1] = is_missing

    def to_json(self) -> dict[str, Any]:
        """Return this feature as plain JSON."""
        return {
            "kind": "calendar", "name": self.name, "type": self.type_, "fill": self.fill,
            "center": self.center, "spread": self.spread, "indicator": self.indicator,
        }  # fmt: skip
