"""How one raw column becomes features: a number as one or two, a category as one-hot.

Arithmetic is elementwise in float64 and cast to float32 at the end, so a row's bits do not depend
on the rows it came with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distrain.data.bag_of_words import TextFeature
from distrain.data.calendar_parts import CalendarFeature
from distrain.data.columns import TextRules, as_float64, as_text

Floats32 = npt.NDArray[np.float32]
# Rows that are turned into numbers at a time: a column's slice and its output stay in the cache.
_BLOCK_ROWS: Final = 4_096
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


@final
@dataclass(frozen=True)
class NumericFeature:
    """A number (also a truth value, a date or a time) as `(log?(x) - center) / spread`.

    Args:
        name: the raw column.
        type_: the raw column's type.
        fill: what takes the place of a missing number, in the column's own unit.
        center: subtracted (after the logarithm).
        spread: divided by, above 0.
        log: whether x becomes sign(x) log(1 + |x|) first.
        indicator: whether a second feature says 1 where the number was missing.
    """

    name: str
    type_: str
    fill: float
    center: float
    spread: float
    log: bool = False
    indicator: bool = False

    @property
    def feature_names(self) -> list[str]:
        """Return the names of the features this column becomes."""
        return [self.name, f"{self.name} is missing"] if self.indicator else [self.name]

    def write(self, column: pa.Array, rules: TextRules, out: Floats32) -> None:
        """Write the features of a column into `out`, shape `(n, len(feature_names))`, zeroed."""
        numbers = as_float64(column, self.name, self.type_, rules)
        for start in range(0, len(numbers), _BLOCK_ROWS):
            part = numbers[start : start + _BLOCK_ROWS]
            is_missing = ~np.isfinite(part)
            filled = np.where(is_missing, self.fill, part)
            scaled = ((signed_log(filled) if self.log else filled) - self.center) / self.spread
            out[start : start + _BLOCK_ROWS, 0] = np.clip(scaled, -_FLOAT32_MAX, _FLOAT32_MAX)
            if self.indicator:
                out[start : start + _BLOCK_ROWS, 1] = is_missing

    def to_json(self) -> dict[str, Any]:
        """Return this feature as plain JSON."""
        return {
            "kind": "numeric", "name": self.name, "type": self.type_, "fill": self.fill,
            "center": self.center, "spread": self.spread, "log": self.log,
            "indicator": self.indicator,
        }  # fmt: skip


@final
@dataclass(frozen=True)
class CategoricalFeature:
    """A category as one-hot: a place for each known value, one for all others, one for missing.

    Args:
        name: the raw column.
        type_: the raw column's type.
        values: the known values as text, most frequent first.
        missing: whether 'missing' has a place of its own; else it counts as another value.
    """

    name: str
    type_: str
    values: tuple[str, ...]
    missing: bool = False

    @property
    def feature_names(self) -> list[str]:
        """Return the names of the features this column becomes."""
        places = [f"{self.name} = {value}" for value in self.values]
        rest = [f"{self.name} is other", f"{self.name} is missing"]
        return places + (rest if self.missing else rest[:1])

    def write(self, column: pa.Array, rules: TextRules, out: Floats32) -> None:
        """Write the features of a column into `out`, shape `(n, len(feature_names))`, zeroed."""
        text = as_text(column, self.name, self.type_, rules)
        known = pc.index_in(text, value_set=pa.array(self.values, pa.string()), skip_nulls=True)
        other = len(self.values)
        place = pc.fill_null(known, other).to_numpy(zero_copy_only=False)
        if self.missing:
            place = np.where(text.is_null().to_numpy(zero_copy_only=False), other + 1, place)
        out[np.arange(len(place)), place] = 1

    def to_json(self) -> dict[str, Any]:
        """Return this feature as plain JSON."""
        return {
            "kind": "categorical", "name": self.name, "type": self.type_,
            "values": list(self.values), "missing": self.missing,
        }  # fmt: skip


Feature = NumericFeature | CategoricalFeature | TextFeature | CalendarFeature


def signed_log(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return sign(x) log(1 + |x|)."""
    logs: npt.NDArray[np.float64] = np.sign(values) * np.log1p(np.abs(values))
    return logs


def feature_from_json(entry: Mapping[str, Any]) -> Feature:
    """Return the feature that its `to_json` gave."""
    fields = {key: value for key, value in entry.items() if key not in ("kind", "type")}
    fields["type_"] = entry["type"]
    if entry["kind"] == "numeric":
        return NumericFeature(**fields)
    if entry["kind"] == "calendar":
        return CalendarFeature(**fields)
    if entry["kind"] == "text":
        fields |= {key: tuple(entry[key]) for key in ("words", "weights")}
        return TextFeature(**fields)
    fields["values"] = tuple(entry["values"])
    return CategoricalFeature(**fields)
