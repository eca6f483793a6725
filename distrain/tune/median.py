"""The median rule: a trial that was never as good as the others are on average is stopped. Pure.

At time t a trial is stopped if its best value up to t is worse than the median of the running means
up to t of the others that have reported at t.

Source: Golovin et al. 2017, Google Vizier, section 3.2.2. There the others are those that have
finished; here they are all that have come so far, so that the first stops need not wait for a whole
trial.
"""

import math
from array import array
from bisect import insort
from collections import defaultdict
from dataclasses import dataclass
from typing import final

from distrain.config.names import Mode
from distrain.tune.verdicts import TimeAttr, Verdict, needed, signed


@final
@dataclass
class Curve:
    """What is kept of a trial's values: as losses, of which less is better, nan as infinity."""

    num_values: int = 0
    total: float = 0.0
    best: float = math.inf

    def add(self, loss: float) -> None:
        """Take in a value."""
        self.num_values += 1
        self.total += loss
        self.best = min(self.best, loss)

    @property
    def mean(self) -> float:
        """Return the running mean; infinity where it is not defined."""
        return _loss_of(self.total / self.num_values)


@final
class MedianRule:
    """Judges each trial at each time from `grace_period` on.

    Memory: a few numbers a trial, and 8 bytes for each value that was reported.

    Args:
        mode: whether less or more is better.
        max_time: a trial's last time, at which nobody is stopped any more.
        grace_period: first time at which a trial may be stopped.
        min_samples: others that must have reported at a time before anyone is stopped at it.
        time_attr: what time is counted in.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        max_time: int,
        grace_period: int = 1,
        min_samples: int = 3,
        time_attr: TimeAttr = "epoch",
    ) -> None:
        self._mode: Mode = mode
        self._times = range(grace_period, max_time)
        self._min_samples = max(1, min_samples)
        self._time_attr = time_attr
        self._curves: defaultdict[int, Curve] = defaultdict(Curve)
        # By time the running means of all that have reported at it, sorted.
        self._means: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))

    def judge(self, trial: int, time: int, value: float) -> Verdict | None:
        """Take in a value; return a verdict where its trial is stopped."""
        curve = self._curves[trial]
        curve.add(_loss_of(signed(value, self._mode)))
        if time not in self._times:
            return None
        others = self._means[time]
        verdict = None
        if len(others) >= self._min_samples and curve.best > (median := _median(others)):
            verdict = self._stopped(trial, time, curve.best, median, len(others))
        insort(others, curve.mean)
        return verdict

    def forget(self, trial: int) -> None:
        """Forget a trial's curve; its running means stay, to compare others with."""
        self._curves.pop(trial, None)

    def _stopped(
        self, trial: int, time: int, best: float, median: float, num_others: int
    ) -> Verdict:
        value = signed(best, self._mode) if math.isfinite(best) else None
        cut = signed(median, self._mode)
        has = "it has no finite value" if value is None else f"its best value is {value:.6g}"
        reach = needed(cut, self._mode, is_equal_enough=True)
        return Verdict(
            trial=trial,
            action="stop",
            time=time,
            value=value,
            rung=None,
            cut=cut,
            rank=None,
            num_rivals=num_others,
            num_kept=None,
            text=f"Up to {self._time_attr} {time} {has}, and the median of {num_others} other "
            f"trials' running means is {cut:.6g}; it needed {reach}, and is stopped.",
        )


def _loss_of(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _median(ordered: "array[float]") -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
