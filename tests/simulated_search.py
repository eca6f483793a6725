"""A search without training: trials that follow given curves, one by chance at a time."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from distrain.tune.schedulers import Scheduler
from distrain.tune.verdicts import Verdict

Curves = Sequence[Sequence[float]]


@dataclass
class Searched:
    """What came of it: calls with their answers in order, epochs spent, how trials ended."""

    calls: list[tuple[tuple[Any, ...], list[Verdict]]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    ends: dict[int, str] = field(default_factory=dict)

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for _, answer in self.calls for verdict in answer]


def search(
    scheduler: Scheduler,
    curves: Curves,
    seed: int,
    num_slots: int = 8,
    *,
    tells_end: bool = False,
) -> Searched:
    """Run every trial to the end of its curve, or until a verdict ends it.

    Args:
        scheduler: fresh.
        curves: of each trial, the value at each time.
        seed: which trial reports next.
        num_slots: how many run at a time.
        tells_end: whether trials say with their last report that it is that, and leave later.
    """
    chance, searched = random.Random(seed), Searched()
    while True:
        suggest(scheduler, searched, num_slots)
        ready = [
            trial
            for trial, time in enumerate(searched.times)
            if trial not in searched.ends and scheduler.pause_at(trial) != time
        ]
        if not ready:
            return searched
        run_one_epoch(scheduler, searched, chance.choice(ready), curves, tells_end=tells_end)


def call(scheduler: Scheduler, arguments: tuple[Any, ...]) -> list[Verdict]:
    """Make one of the calls that a search has made, again."""
    if len(arguments) == 2:
        return scheduler.saved(arguments[0])
    if len(arguments) == 1:
        return scheduler.leave(*arguments)
    return scheduler.report(*arguments[:3], is_end=arguments[3])


def suggest(scheduler: Scheduler, searched: Searched, num_slots: int) -> None:
    wanted = scheduler.num_wanted(len(searched.times))
    while wanted and len(searched.times) - len(searched.ends) < num_slots:
        searched.times += [0] * wanted
        wanted = scheduler.num_wanted(len(searched.times))


def run_one_epoch(
    scheduler: Scheduler, searched: Searched, trial: int, curves: Curves, *, tells_end: bool
) -> None:
    has_told = tells_end and searched.times[trial] == len(curves[trial])
    searched.times[trial] += not has_told
    time, made = searched.times[trial], list[Verdict]()
    is_end = tells_end and time == len(curves[trial])
    if not has_told:
        value = curves[trial][time - 1]
        made = scheduler.report(trial, time, value, is_end=is_end)
        searched.calls.append(((trial, time, value, is_end), made))
    if has_told or (time == len(curves[trial]) and not tells_end):
        searched.ends[trial] = "left"
        searched.calls.append(((trial,), scheduler.leave(trial)))
        made = made + searched.calls[-1][1]
    elif not is_end and scheduler.pause_at(trial) == time:
        searched.calls.append(((trial, "saved"), scheduler.saved(trial)))
        made = made + searched.calls[-1][1]
    searched.ends |= {one.trial: one.action for one in made if one.action in ("stop", "finish")}


def random_curves(seed: int, num_trials: int, max_time: int) -> list[list[float]]:
    """Return curves with ties, and values that are not finite, in any order."""
    chance = random.Random(seed)
    odd = [math.nan, math.inf, -math.inf]
    return [
        [
            chance.choice(odd) if chance.random() < 0.1 else round(chance.random(), 1)
            for _ in range(max_time)
        ]
        for _ in range(num_trials)
    ]


def cut_short(curves: Curves, seed: int) -> list[Sequence[float]]:
    """Return curves of which some end early: their trials finish by themselves, or fail."""
    chance = random.Random(seed)
    return [
        curve[: chance.randint(1, len(curve))] if chance.random() < 0.3 else curve
        for curve in curves
    ]


def rising_curves(seed: int, num_trials: int, max_time: int) -> list[list[float]]:
    """Return accuracies that rise to a level of the trial's own, with noise."""
    chance = random.Random(seed)
    levels = [chance.random() for _ in range(num_trials)]
    return [
        [level * (1 - 0.5**time) + chance.gauss(0, 0.02) for time in range(1, max_time + 1)]
        for level in levels
    ]


def by_trial(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return verdicts in an order that does not depend on that of the calls."""
    return sorted(verdicts, key=lambda verdict: (verdict.trial, verdict.time))
