"""What is known of runs' metrics beside their values: where these lie, and who is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from distrain.evaluate.comparison import Comparison

SPLIT: Final = "test/"
"""What begins the names of metrics that have intervals."""

Interval = tuple[float, float]


@final
@dataclass(frozen=True)
class Measured:
    """What is known of the metrics of some runs beside their values.

    Attributes:
        intervals: of each run, metric to its interval.
        gains: of each run, metric to how much better it is than the first; empty: of the first, and
            of one that has other test rows.
        notes: how they were got, or why there are none, in words.
    """

    intervals: tuple[Mapping[str, Interval], ...]
    gains: tuple[Mapping[str, Comparison], ...]
    notes: tuple[str, ...]
