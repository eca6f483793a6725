"""Population-based training: the worst trials take over from the best, and search on. Pure.

All trials pause at every multiple of an interval, with a saved state. When all that live are there,
a part of them, the worst, goes on from the states of as many of the best, each with settings that
were changed a little (see `exploring.py`). The order in which they come changes nothing, so a
search is a function of its settings alone.

Source: Jaderberg et al. 2017 (truncation selection), here in step.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.config.names import Mode
from distrain.tune.told import seed_for
from distrain.tune.verdicts import Standing, TimeAttr, Verdict, or_none, standing_of, value_of


@final
@dataclass(frozen=True)
class PopulationRule:
    """When trials are compared, and how many of them take over.

    Attributes:
        mode: whether less or more is better.
        max_time: a trial's last time; nothing is compared there.
        interval: time between two comparisons, at least 1.
        quantile_fraction: part of the population that takes over, and part that it takes over
            from, above 0 and at most 1/2; at least one trial, where there are two.
        seed: whom each takes over from is drawn with it.
        time_attr: what time is counted in.
    """

    mode: Mode
    max_time: int
    interval: int
    quantile_fraction: float
    seed: int
    time_attr: TimeAttr = "epoch"

    @property
    def rungs(self) -> tuple[int, ...]:
        """Return the times of the comparisons."""
        assert self.interval >= 1, "there is no time 0"
        return tuple(range(self.interval, self.max_time, self.interval))

    def num_taking_over(self, num_trials: int) -> int:
        """Return how many of so many trials take over from as many others."""
        assert 0 < self.quantile_fraction <= 0.5, "the best would be among the worst"
        return max(int(num_trials * self.quantile_fraction), min(1, num_trials // 2))


@final
class Population:
    """The scheduler of a population, which is suggested as one batch.

    A trial that ends (finished early, failed) leaves the population: it is compared no more, and
    not with those at the rung where it ended either, whatever comes first.

    Args:
        rule: when and how many.
        num_trials: of the population.
    """

    def __init__(self, rule: PopulationRule, num_trials: int) -> None:
        self._rule = rule
        self._num_trials = num_trials
        self._rungs = rule.rungs
        self._rung = 0
        self._living = set(range(num_trials))
        self._values: dict[int, float] = {}
        self._saved: set[int] = set()

    def num_wanted(self, num_suggested: int) -> int:
        """Return how many of the population are still to be suggested."""
        return self._num_trials - num_suggested

    def pause_at(self, trial: int) -> int | None:
        """Return the time of the next rung; None: the trial waits no more."""
        if trial not in self._living or self._rung == len(self._rungs):
            return None
        return self._rungs[self._rung]

    def report(self, trial: int, time: int, value: float, *, is_end: bool = False) -> list[Verdict]:
        """Take in a value; nothing is decided before the state is saved that goes with it."""
        if is_end:
            return self.leave(trial)
        if time == self.pause_at(trial):
            self._values.setdefault(trial, value)
        return []

    def saved(self, trial: int) -> list[Verdict]:
        """Take in that a trial has saved its state; return the verdicts where it was the last."""
        if trial in self._living and trial in self._values:
            self._saved.add(trial)
        return self._decide()

    def leave(self, trial: int) -> list[Verdict]:
        """Await a trial no longer; return the verdicts that were waiting for it alone."""
        if trial not in self._living:
            return []
        self._living.remove(trial)
        self._values.pop(trial, None)
        self._saved.discard(trial)
        return self._decide()

    def _decide(self) -> list[Verdict]:
        if not self._living or self._saved != self._living:
            return []
        mode = self._rule.mode
        ranked = sorted(standing_of(trial, value, mode) for trial, value in self._values.items())
        verdicts = [self._verdict(ranked, rank) for rank in range(1, len(ranked) + 1)]
        self._values.clear()
        self._saved.clear()
        self._rung += 1
        return verdicts

    def _verdict(self, ranked: Sequence[Standing], rank: int) -> Verdict:
        rule, trial = self._rule, ranked[rank - 1][2]
        count = rule.num_taking_over(len(ranked))
        num_kept = len(ranked) - count
        source_rank = None
        if rank > num_kept:
            chance = random.Random(seed_for(rule.seed, trial, f"source-{self._rung}"))
            source_rank = 1 + chance.randrange(count)
        source = None if source_rank is None else ranked[source_rank - 1][2]
        time, value = self._rungs[self._rung], value_of(ranked[rank - 1], rule.mode)
        place = f"At {rule.time_attr} {time} its {value:.6g} is rank {rank} of {len(ranked)}"
        absent = self._num_trials - len(ranked)
        gone = f" ({absent} of {self._num_trials} trials had ended before)" if absent else ""
        return Verdict(
            trial=trial,
            action="go_on" if source is None else "copy",
            time=time,
            value=or_none(value),
            rung=self._rung,
            cut=or_none(value_of(ranked[num_kept - 1], rule.mode)) if count else None,
            rank=rank,
            num_rivals=len(ranked),
            num_kept=num_kept,
            text=f"{place}{gone}; {_outcome(count, source, source_rank)}.",
            source=source,
        )


def _outcome(count: int, source: int | None, source_rank: int | None) -> str:
    if not count:
        return "there is no other, and it goes on as it is"
    last = "the last" if count == 1 else f"the last {count}"
    if source is None:
        return f"{last} of them take{'s' if count == 1 else ''} over from the best, and it goes on"
    which = f"is {last}" if count == 1 else f"is one of {last}"
    return f"it {which}, and takes over from trial {source}, of rank {source_rank}"
