"""The plateau rule: a trial whose values change no more ends with what it has. Pure."""

import math
from collections import defaultdict, deque
from typing import final

from distrain.tune.verdicts import TimeAttr, Verdict


@final
class PlateauRule:
    """Ends a trial, as one that has finished, when its last values are as good as equal.

    They are when the largest and the smallest differ by at most `tolerance` times the largest
    absolute value among them. Values that are not finite are no plateau.

    Args:
        max_time: a trial's last time, at which it ends anyway.
        grace_period: first time at which a trial may end by this rule.
        window: how many values, at least 2.
        tolerance: relative, at least 0.
        time_attr: what time is counted in.
    """

    def __init__(
        self,
        *,
        max_time: int,
        grace_period: int = 1,
        window: int = 4,
        tolerance: float = 0.001,
        time_attr: TimeAttr = "epoch",
    ) -> None:
        assert window >= 2, "one value alone does not change"
        self._times = range(grace_period, max_time)
        self._window = window
        self._tolerance = tolerance
        self._time_attr = time_attr
        self._recent: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=window))

    def judge(self, trial: int, time: int, value: float) -> Verdict | None:
        """Take in a value; return a verdict where its trial ends by it."""
        recent = self._recent[trial]
        recent.append(value)
        if time not in self._times or len(recent) < self._window or not self._is_flat(recent):
            return None
        return self._finished(trial, time, recent)

    def forget(self, trial: int) -> None:
        """Forget a trial that has ended."""
        self._recent.pop(trial, None)

    def _is_flat(self, recent: deque[float]) -> bool:
        if not all(map(math.isfinite, recent)):
            return False
        return max(recent) - min(recent) <= self._tolerance * max(map(abs, recent))

    def _finished(self, trial: int, time: int, recent: deque[float]) -> Verdict:
        return Verdict(
            trial=trial,
            action="finish",
            time=time,
            value=recent[-1],
            rung=None,
            cut=None,
            rank=None,
            num_rivals=0,
            num_kept=None,
            text=f"Its last {self._window} values up to {self._time_attr} {time} lie between "
            f"{min(recent):.6g} and {max(recent):.6g}, no more than {self._tolerance:.3g} of the "
            "largest apart; it ends with what it has.",
        )
