"""A whole search without training: the state machine, and trials that follow given curves."""

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from distrain.errors import TrainError
from distrain.track.trials import kind_of
from distrain.tune.course import Course
from distrain.tune.halving import Asha, Rule, hyperband, sha
from distrain.tune.median import MedianRule
from distrain.tune.plan import SearchPlan
from distrain.tune.replay import replay
from distrain.tune.samplers import Told
from distrain.tune.schedulers import OneByOne
from distrain.tune.search import Search
from distrain.tune.trials import Report, Trial, Work

Ran = TypeVar("Ran")
METRIC = "validation/loss"
NUM_TRIALS = 16
EPOCHS = 8
RULE = Rule(mode="min", max_time=EPOCHS, grace_period=1, reduction_factor=2)
SCHEDULERS = {
    "none": lambda num: OneByOne(num),
    "sha": lambda num: sha(RULE, num),
    "asha": lambda num: OneByOne(num, Asha(RULE)),
    "hyperband": lambda num: hyperband(RULE, num),
    "median": lambda num: OneByOne(num, MedianRule(mode="min", max_time=EPOCHS)),
}


@dataclass
class MemoryLog:
    """Keeps events, up to the one at which the driver is killed."""

    events: list[dict[str, Any]] = field(default_factory=list)
    room: int | None = None
    num_commits: int = 0

    def add(self, event: str, /, **fields: Any) -> None:
        if self.room is not None and len(self.events) >= self.room:
            raise KilledError
        self.events.append({"event": event, **fields})

    def commit(self) -> None:
        self.num_commits += 1


class KilledError(Exception):
    """The driver's process is gone."""


@dataclass
class Numbered:
    """A sampler that gives each trial its number, and remembers what it was asked with."""

    num_points: int = 1_000_000
    asked: list[tuple[int, int, list[str]]] = field(default_factory=list)

    def ask(self, number: int, count: int, history: Sequence[Told]) -> list[dict[str, Any]]:
        self.asked.append((number, count, [told.state for told in history]))
        last = min(number + count, self.num_points)
        return [{"x": trial} for trial in range(number, last)]


@dataclass
class Simulation:
    """Runs trials a report at a time, by chance among those that run.

    Args:
        curves: of each trial, the value at each time; a text is what it fails of then.
        num_slots: how many run at a time.
        chance: which of them reports next.
        saved: trial to the time at which it saved its state for its audit; that outlives a driver.
    """

    curves: Mapping[int, Sequence[float | str]]
    num_slots: int
    chance: random.Random
    saved: dict[int, int] = field(default_factory=dict)

    def run(self, search: Search | Course) -> None:
        running: dict[int, tuple[Work, int]] = {}
        while True:
            while len(running) < self.num_slots and (work := search.next_work()) is not None:
                reported = _trial(search, work.trial).time
                first = reported if work.saved_step is None else None
                if first is None:
                    search.paused(work.trial, work.saved_step or 0, 0.1)
                else:
                    running[work.trial] = work, self._checkpoint(work.trial, first)
            if not running:
                assert search.is_over
                return
            trial = self.chance.choice(sorted(running))
            work, time = running.pop(trial)
            if self._goes_on(search, work, time + 1):
                running[trial] = work, time + 1

    def _checkpoint(self, trial: int, last: int) -> int:
        """Return where a trial goes on: some of what it reported may be computed again."""
        kind, number, _ = kind_of(trial)
        if kind == "audit" and number in self.saved:
            return min(self.saved[number], len(self.curves[trial]) - 1)
        return self.chance.randint(0, min(last, len(self.curves[trial]) - 1))

    def _goes_on(self, search: Search | Course, work: Work, time: int) -> bool:
        trial, curve = work.trial, self.curves[work.trial]
        value = curve[time - 1]
        if isinstance(value, str):
            error = TrainError(value, where=f"trial {trial}")
            search.ended(trial, "failed", step=10 * time, epoch=time, train_s=0.1, error=error)
            return False
        is_end = time == len(curve)
        report = Report(time, time, 10 * time, {METRIC: value}, 0.1 * time, is_end)
        reply = search.reported(trial, report)
        if reply == "stop":
            return False
        if reply == "pause":
            self.saved[trial] = time
            search.paused(trial, 10 * time, 0.1 * time)
            return False
        if reply == "end" or is_end:
            outcome = "finished" if is_end else "stopped_early"
            told = {"metrics": {METRIC: value}, "train_s": 0.1 * time}
            search.ended(trial, outcome, step=10 * time, epoch=time, **told)
            return False
        if work.until is not None and time >= work.until:
            search.paused(trial, 10 * time, 0.1 * time)
            return False
        return True


def curves_of(seed: int, num: int = NUM_TRIALS, fail: float = 0.0) -> dict[int, list[Any]]:
    chance = random.Random(seed)
    curves: dict[int, list[Any]] = {}
    for trial in range(num):
        level = chance.random()
        curves[trial] = [round(level + 1 / (time + 1), 3) for time in range(EPOCHS)]
        if chance.random() < fail:
            curves[trial][chance.randrange(EPOCHS)] = f"fault {trial}"
    return curves


def cut_at_rungs(curves: Mapping[int, Sequence[Any]], seed: int) -> dict[int, list[Any]]:
    """Return curves of which half end at a rung of `RULE`: their trials end by themselves there."""
    chance = random.Random(seed)
    return {
        trial: list(curve[: chance.choice(RULE.rungs)] if chance.random() < 0.5 else curve)
        for trial, curve in curves.items()
    }


def plan_of(name: str = "none", num: int = NUM_TRIALS, **fields: Any) -> SearchPlan:
    made = {"sampler": Numbered(), "scheduler": SCHEDULERS[name](num), **fields}
    return SearchPlan(num_trials=num, metric=METRIC, mode="min", **made)


def searched(
    plan: SearchPlan, curves: dict[int, list[Any]], slots: int = 3, seed: int = 0
) -> tuple[Search, MemoryLog]:
    log = MemoryLog()
    search = Search(plan, log)
    search.begin()
    Simulation(curves, slots, random.Random(seed)).run(search)
    return search, log


def ends(search: Search) -> dict[int, str | None]:
    return {trial.number: trial.outcome for trial in search.trials}


def decisions(log: MemoryLog) -> list[tuple[Any, ...]]:
    return sorted(
        (event["rung"], event["trial"], event["action"], event["cut"])
        for event in log.events
        if event["event"] == "decided"
    )


def run_on(name: str, curves: dict[int, list[Any]], log: MemoryLog, seed: int) -> Search:
    search = Search(plan_of(name), log)
    replay(search, list(log.events))
    search.begin()
    Simulation(curves, 3, random.Random(seed)).run(search)
    return search


def run_on_killed(log: MemoryLog, kills: Iterable[int], run: Callable[[int], Ran]) -> Ran:
    """Run a search whose drivers are killed one after the other, and then to its end.

    Args:
        log: the search's, which outlives its drivers.
        kills: after how many further events each is killed.
        run: goes on with the search; takes a number that is another one for each driver.
    """
    for room in itertools.accumulate(kills):
        log.room = room
        try:
            run(room)
            break
        except KilledError:
            pass
    log.room = None
    return run(0)


def _trial(search: Search | Course, number: int) -> Trial:
    return search.trial(number) if isinstance(search, Course) else search.trials[number]
