"""What another scheduler would have done with recorded curves."""

import random
from typing import Any

import pytest

from distrain.tune.counterfactual import Played, play
from distrain.tune.halving import Asha, Rule, sha
from distrain.tune.plan import SearchPlan
from distrain.tune.schedulers import OneByOne, Scheduler
from distrain.tune.search import Search
from tests.simulated_trials import METRIC, MemoryLog, Numbered, Simulation

EPOCHS = 8
NUM_TRIALS = 16


def curves() -> dict[int, list[Any]]:
    return {
        trial: [round(trial / 16 + 1 / (time + 1), 3) for time in range(EPOCHS)]
        for trial in random.Random(2).sample(range(NUM_TRIALS), NUM_TRIALS)
    }


def rule(factor: int) -> Rule:
    return Rule(mode="min", max_time=EPOCHS, reduction_factor=factor)


def events_of(
    scheduler: Scheduler, slots: int = 3, *, ends_at: dict[int, int] | None = None
) -> tuple[Search, list[dict[str, Any]]]:
    log = MemoryLog()
    plan = SearchPlan(NUM_TRIALS, METRIC, "min", Numbered(), scheduler)
    search = Search(plan, log)
    search.begin()
    cut = {trial: curves()[trial][:time] for trial, time in (ends_at or {}).items()}
    Simulation(curves() | cut, slots, random.Random(0)).run(search)
    return search, log.events


@pytest.mark.parametrize("name", ["none", "sha", "asha"])
def test_the_own_scheduler_gives_what_was(name: str) -> None:
    made = {
        "none": lambda: OneByOne(NUM_TRIALS),
        "sha": lambda: sha(rule(2), NUM_TRIALS),
        "asha": lambda: OneByOne(NUM_TRIALS, Asha(rule(2))),
    }[name]
    search, events = events_of(made())

    played = play(events, METRIC, "min", made())

    stopped = sum(trial.outcome == "stopped" for trial in search.trials)
    assert search.best is not None
    best = (search.best.number, search.best.metrics[METRIC])
    assert played == Played(search.epochs_spent, stopped, 0, best)


@pytest.mark.parametrize("slots", [1, 3, 16])
def test_who_ends_by_itself_at_a_rung_ends_so_again(slots: int) -> None:
    search, events = events_of(sha(rule(2), NUM_TRIALS), slots, ends_at={15: 1, 0: 2, 1: 2})

    played = play(events, METRIC, "min", sha(rule(2), NUM_TRIALS))

    finished = [trial.number for trial in search.trials if trial.outcome == "finished"]
    assert {15, 0, 1} <= set(finished)
    assert played.num_stopped == NUM_TRIALS - len(finished)
    assert (played.epochs, played.num_unknown) == (search.epochs_spent, 0)


def test_whole_curves_tell_all_of_what_halving_would_have_done() -> None:
    _, events = events_of(OneByOne(NUM_TRIALS))

    played = play(events, METRIC, "min", sha(rule(2), NUM_TRIALS))

    # 16 trials to epoch 1, 8 to 2, 4 to 4, and 2 to the end at 8.
    assert (played.epochs, played.num_stopped, played.num_unknown) == (
        16 + 8 + 4 * 2 + 2 * 4,
        14,
        0,
    )
    assert played.best == (0, 0.125)


def test_curves_that_were_cut_are_counted_where_they_would_have_gone_on() -> None:
    _, events = events_of(sha(rule(4), NUM_TRIALS))

    played = play(events, METRIC, "min", OneByOne(NUM_TRIALS))

    assert played.num_stopped == 0
    assert played.num_unknown == NUM_TRIALS - 1
    assert played.best == (0, 0.125)
