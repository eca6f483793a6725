"""Losses out of the ordinary, by what all workers know of a step. Pure.

A loss is a spike where it is above `SPIKE_FACTOR` times the median of the last `WINDOW_STEPS`
losses, once there are `LEAST_STEPS` of them and their median is above zero. The short last step of
an epoch is not judged by that: the mean of a few rows swings by itself.
"""

import statistics
from dataclasses import dataclass, field
from typing import Final, Literal, final

OnSpike = Literal["record", "skip", "stop"]
Finding = Literal["spike", "not finite"]

SPIKE_FACTOR: Final = 5.0
WINDOW_STEPS: Final = 100
LEAST_STEPS: Final = 10
MOST_SKIPPED_IN_A_ROW: Final = 20


@final
@dataclass
class LossWatch:
    """Follows the losses of a run; its findings are the same on every worker.

    Args:
        recent: finite losses of the last steps, the oldest first.
        num_not_finite: steps in a row, up to the last one, that were not finite.
    """

    recent: list[float] = field(default_factory=list)
    num_not_finite: int = 0

    @property
    def median(self) -> float | None:
        """Return the median of the recent losses; None while there are too few to judge by."""
        return statistics.median(self.recent) if len(self.recent) >= LEAST_STEPS else None

    @property
    def limit(self) -> float | None:
        """Return what a loss must exceed to be a spike; None where nothing can be said."""
        median = self.median
        return SPIKE_FACTOR * median if median is not None and median > 0 else None

    def judge(self, loss: float | None, *, is_finite: bool, is_whole: bool) -> Finding | None:
        """Take in a step and return what is wrong with it.

        Args:
            loss: mean loss of the step; None where its rows have no weight.
            is_finite: whether the loss and the gradient are finite.
            is_whole: whether the step has all the rows of a global batch.
        """
        if not is_finite:
            self.num_not_finite += 1
            return "not finite"
        self.num_not_finite = 0
        if loss is None or not is_whole:
            return None
        is_spike = self._is_spike(loss)
        # A spike counts too, so that losses which rise and stay become the ordinary ones.
        self.recent.append(loss)
        del self.recent[:-WINDOW_STEPS]
        return "spike" if is_spike else None

    def _is_spike(self, loss: float) -> bool:
        # The median costs 10 us; the least of the losses tells nearly always that it is not needed.
        if len(self.recent) < LEAST_STEPS or loss <= SPIKE_FACTOR * min(self.recent):
            return False
        limit = self.limit
        return limit is not None and loss > limit
