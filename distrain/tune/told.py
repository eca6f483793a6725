"""What a sampler is told of earlier trials, and the chance that it may use."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ToldState = Literal["running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Told:
    """One earlier trial.

    Attributes:
        trial: its number, from 0.
        assignment: dotted key -> value.
        values: (time, value of the metric) as reported, in the order of time.
        final: the metric's last value where the trial came to its end.
        state: running; finished: it came to its end; stopped: a scheduler ended it; failed.
    """

    trial: int
    assignment: Mapping[str, Any]
    values: Sequence[tuple[int, float]]
    final: float | None
    state: ToldState

    @property
    def time(self) -> int:
        """The time of its last report, 0 before the first."""
        return self.values[-1][0] if self.values else 0

    def loss(self, sign: float) -> float:
        """Return how bad its last value is; failed, or not a number: worse than everything.

        Args:
            sign: 1 where less is better, -1 where more is.
        """
        value = self.final
        if value is None and self.values and self.state != "failed":
            value = self.values[-1][1]
        if value is None or math.isnan(value) or self.state == "failed":
            return math.inf
        return sign * value


def seed_for(seed: int, number: int, purpose: str) -> int:
    """Return the seed of one trial's proposals, 32 bits: a hash of all that is given."""
    text = f"{seed}/{number}/{purpose}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
