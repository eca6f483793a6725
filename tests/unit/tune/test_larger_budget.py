"""A search whose budget was spent, and that was killed then, goes on with a larger one."""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.tune.budget import Budget
from distrain.tune.exploring import Explorer
from distrain.tune.halving import Rule, hyperband, sha
from distrain.tune.plan import SearchPlan
from distrain.tune.population import Population, PopulationRule
from distrain.tune.replay import replay
from distrain.tune.samplers import build_sampler
from distrain.tune.schedulers import Scheduler
from distrain.tune.search import Search
from distrain.tune.seeds import BySetting
from distrain.tune.space import Space
from tests.simulated_trials import EPOCHS, METRIC, KilledError, MemoryLog, Simulation, curves_of

NUM = 6
LR = "train.optimizer.lr"
SETTINGS = settings_from_dict(
    {
        "data": {"source": "a.csv", "target": "y"},
        "train": {"epochs": EPOCHS},
        "tune": {
            "space": {LR: {"loguniform": [1e-4, 1e-1]}},
            "num_trials": NUM,
            "scheduler": {"name": "pbt", "perturbation_interval": 2},
        },
    }
)
SPACE = Space.of(SETTINGS)
EARLY = Rule(mode="min", max_time=EPOCHS, grace_period=1, reduction_factor=2)
LATE = Rule(mode="min", max_time=EPOCHS, grace_period=4, reduction_factor=2)
POPULATION = PopulationRule("min", EPOCHS, interval=2, quantile_fraction=0.25, seed=5)
SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "sha": lambda: sha(EARLY, NUM),
    "sha of several seeds": lambda: BySetting(sha(EARLY, NUM // 2), 2),
    "hyperband": lambda: hyperband(LATE, NUM),  # three brackets of two
    "pbt": lambda: Population(POPULATION, NUM),
}
NUM_EPOCHS = {"sha": 17, "sha of several seeds": 22, "hyperband": 40, "pbt": NUM * EPOCHS}
"""What each of them takes without a budget."""


def run_on(name: str, log: MemoryLog, budget: int | None, seed: int) -> Search:
    plan = SearchPlan(
        num_trials=NUM,
        metric=METRIC,
        mode="min",
        sampler=build_sampler(SETTINGS, SPACE),
        scheduler=SCHEDULERS[name](),
        budget=Budget(epochs=budget),
        explorer=Explorer(SPACE, SPACE.as_written(SETTINGS), 5, 0.25) if name == "pbt" else None,
        num_seeds=2 if "seeds" in name else 1,
    )
    search = Search(plan, log)
    replay(search, list(log.events))
    search.begin()
    curves = curves_of(3, NUM)
    if name == "pbt":  # a copy's curve is its source's
        curves = dict.fromkeys(curves, curves[0])
    Simulation(curves, 3, random.Random(seed)).run(search)
    return search


def left_behind(name: str, budget: int) -> Iterator[MemoryLog]:
    """Give the log of a driver that was killed, at each event after its budget was spent."""
    whole = MemoryLog()
    run_on(name, whole, budget, seed=budget)
    kinds = [event["event"] for event in whole.events]
    for room in range(kinds.index("spent") + 1, len(kinds) + 1):
        yield MemoryLog(whole.events[:room])


def decisions(log: MemoryLog) -> list[tuple[Any, ...]]:
    return [(e["trial"], e["time"]) for e in log.events if e["event"] == "decided"]


def assert_all_ended(search: Search, log: MemoryLog) -> None:
    assert {trial.state for trial in search.trials} == {"ended"}
    assert search.best is not None
    assert search.notes == []
    assert len(decisions(log)) == len(set(decisions(log)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULERS)
def test_it_comes_to_its_end_wherever_its_driver_was_killed(name: str) -> None:
    for budget in range(1, NUM_EPOCHS[name]):
        for log in left_behind(name, budget):
            search = run_on(name, log, None, seed=len(log.events))

            assert_all_ended(search, log)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_it_comes_to_its_end_also_where_its_driver_was_killed_twice(name: str) -> None:
    """What was cut off goes on with the spent budget, and is cut off again, some events later."""
    for budget in range(1, NUM_EPOCHS[name], 3):
        for number, log in enumerate(left_behind(name, budget)):
            log.room = len(log.events) + 1 + (budget + number) % 8
            with contextlib.suppress(KilledError):
                run_on(name, log, budget, seed=number)
            log.room = None

            search = run_on(name, log, None, seed=number)

            assert_all_ended(search, log)
