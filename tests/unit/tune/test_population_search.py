"""A whole search by population-based training, without training: what is taken over, and crashes.

A trial's curve follows from its settings and those before them, as weights do.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.config.load import settings_from_dict
from distrain.tune.budget import Budget
from distrain.tune.course import Afterwards, Course
from distrain.tune.exploring import Explorer
from distrain.tune.plan import SearchPlan
from distrain.tune.population import Population, PopulationRule
from distrain.tune.replay import replay
from distrain.tune.samplers import build_sampler
from distrain.tune.search import Search
from distrain.tune.space import Space
from distrain.tune.trials import Report
from tests.simulated_trials import METRIC, KilledError, MemoryLog, Simulation, run_on_killed

NUM_TRIALS = 8
EPOCHS = 8
LR = "train.optimizer.lr"
SETTINGS = settings_from_dict(
    {
        "data": {"source": "a.csv", "target": "y"},
        "train": {"epochs": EPOCHS},
        "tune": {
            "space": {LR: {"loguniform": [1e-4, 1e-1]}},
            "num_trials": NUM_TRIALS,
            "scheduler": {"name": "pbt", "perturbation_interval": 2},
        },
    }
)
SPACE = Space.of(SETTINGS)


class Curves(Mapping[int, Sequence[float | str]]):
    """Losses by each trial's settings, as they were in force; near 0.01 they fall fastest.

    Args:
        search: whose trials they are.
        faults: trials that fail, and at which time.
    """

    def __init__(self, search: Search, faults: Mapping[int, int]) -> None:
        self._search = search
        self._faults = faults

    def __getitem__(self, trial: int) -> list[float | str]:
        assignment = self._search.trials[trial].assignment
        lr, loss, curve = assignment[LR], 1.0, list[float | str]()
        changes = {
            change["step"]: change["values"] for change in assignment.get("train.changes", ())
        }
        for time in range(EPOCHS):
            lr = changes.get(10 * time, {}).get(LR, lr)
            loss *= 0.5 + 0.5 * min(1.0, abs(lr - 0.01) / 0.05)
            curve.append(loss)
        if trial in self._faults:
            curve[self._faults[trial]] = f"fault of trial {trial}"
        return curve

    def __iter__(self) -> Iterator[int]:
        return iter(range(NUM_TRIALS))

    def __len__(self) -> int:
        return NUM_TRIALS


def new_search(log: MemoryLog, budget: Budget | None = None) -> Search:
    rule = PopulationRule("min", EPOCHS, interval=2, quantile_fraction=0.25, seed=5)
    plan = SearchPlan(
        num_trials=NUM_TRIALS,
        metric=METRIC,
        mode="min",
        sampler=build_sampler(SETTINGS, SPACE),
        scheduler=Population(rule, NUM_TRIALS),
        explorer=Explorer(SPACE, SPACE.as_written(SETTINGS), 5, 0.25),
        budget=budget or Budget(),
    )
    return Search(plan, log)


def run_on(
    log: MemoryLog, slots: int = 3, seed: int = 0, faults: Mapping[int, int] | None = None
) -> Search:
    search = new_search(log)
    replay(search, list(log.events))
    search.begin()
    Simulation(Curves(search, faults or {}), slots, random.Random(seed)).run(search)
    return search


def decisions(log: MemoryLog) -> list[tuple[Any, ...]]:
    told = ("rung", "trial", "action", "value", "source", "assignment", "text")
    return sorted(
        (tuple(event.get(name) for name in told) for event in log.events
        if event["event"] == "decided"), key=lambda one: one[:2],
    )  # fmt: skip


def results(search: Search) -> list[tuple[Any, ...]]:
    return [
        (trial.number, trial.outcome, dict(trial.assignment), dict(trial.metrics))
        for trial in search.trials
    ]


@pytest.fixture(scope="module")
def straight() -> tuple[Search, MemoryLog]:
    log = MemoryLog()
    return run_on(log), log


def test_every_trial_runs_to_its_end_and_the_last_take_over(
    straight: tuple[Search, MemoryLog],
) -> None:
    search, log = straight
    copies = [event for event in log.events if event.get("action") == "copy"]

    assert {trial.outcome for trial in search.trials} == {"finished"}
    assert search.epochs_spent == NUM_TRIALS * EPOCHS
    assert [event["rung"] for event in copies] == [0, 0, 1, 1, 2, 2]
    assert [event["time"] for event in copies] == [2, 2, 4, 4, 6, 6]


def test_a_copy_takes_the_course_and_the_curve_of_its_source(
    straight: tuple[Search, MemoryLog],
) -> None:
    search, log = straight
    events = log.events
    first = next(event for event in events if event.get("action") == "copy")
    suggested = {e["trial"]: e["assignment"] for e in events if e["event"] == "suggested"}

    assert first["assignment"][LR] == suggested[first["source"]][LR]
    assert [change["step"] for change in first["assignment"]["train.changes"]] == [20]
    assert search.notes == []
    ended = {e["trial"]: e["assignment"] for e in events if e["event"] == "ended"}
    assert ended == {trial.number: trial.assignment for trial in search.trials}


def test_a_copy_gains_by_it(straight: tuple[Search, MemoryLog]) -> None:
    search, _ = straight
    alone = MemoryLog()
    untouched = new_search(alone)
    object.__setattr__(untouched.plan, "scheduler", Population(
        PopulationRule("min", EPOCHS, interval=EPOCHS, quantile_fraction=0.25, seed=5), NUM_TRIALS
    ))  # fmt: skip
    untouched.begin()
    Simulation(Curves(untouched, {}), 3, random.Random(0)).run(untouched)

    mean = [sum(t.metrics[METRIC] for t in each.trials) for each in (search, untouched)]
    assert mean[0] < mean[1]


@given(slots=st.integers(1, NUM_TRIALS), seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None)
def test_it_decides_alike_on_any_number_of_slots(
    straight: tuple[Search, MemoryLog], slots: int, seed: int
) -> None:
    log = MemoryLog()

    search = run_on(log, slots, seed)

    assert decisions(log) == decisions(straight[1])
    assert results(search) == results(straight[0])
    assert search.best is not None
    assert straight[0].best is not None
    assert search.best.number == straight[0].best.number


@pytest.mark.slow
def test_it_decides_alike_wherever_the_driver_is_killed(
    straight: tuple[Search, MemoryLog],
) -> None:
    """The driver is killed at each event of the whole search in turn."""
    for room in range(1, len(straight[1].events)):
        log = MemoryLog(room=room)
        with pytest.raises(KilledError):
            run_on(log, seed=room)
        log.room = None

        search = run_on(log, seed=room + 1)

        assert decisions(log) == decisions(straight[1])
        assert results(search) == results(straight[0])
        assert search.notes == []


@given(
    kills=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    seed=st.integers(0, 10_000),
    faults=st.dictionaries(st.integers(0, NUM_TRIALS - 1), st.integers(0, EPOCHS - 1), max_size=3),
)
@settings(max_examples=20, deadline=None)
def test_it_decides_alike_killed_often_and_with_faults(
    kills: list[int], seed: int, faults: dict[int, int]
) -> None:
    straight_log, log = MemoryLog(), MemoryLog()
    straight = run_on(straight_log, faults=faults)

    search = run_on_killed(log, kills, lambda room: run_on(log, seed=seed + room, faults=faults))

    assert decisions(log) == decisions(straight_log)
    assert results(search) == results(straight)
    ended = [event["trial"] for event in log.events if event["event"] == "ended"]
    assert sorted(ended) == list(range(NUM_TRIALS))


def test_any_spent_budget_ends_what_is_paused() -> None:
    for budget in range(1, NUM_TRIALS * EPOCHS + 1):
        search = new_search(MemoryLog(), Budget(epochs=budget))
        course = Course(search, MemoryLog(), Afterwards())
        course.begin()

        Simulation(Curves(search, {}), 1, random.Random(0)).run(course)

        assert {trial.state for trial in search.trials} == {"ended"}


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_trial_that_pauses_last_once_the_budget_is_spent_ends(is_killed: bool) -> None:
    """What it saved is told to no scheduler any more, so nothing decides on what is paused."""
    log, budget = MemoryLog(), Budget(epochs=2 * NUM_TRIALS - 1)
    course = Course(new_search(log, budget), log, Afterwards())
    course.begin()
    for number in range(NUM_TRIALS - 2):
        course.next_work()
        report_twice(course, number)
        course.paused(number, 20, 0.2)
    course.next_work()
    course.next_work()
    pausing, last = NUM_TRIALS - 2, NUM_TRIALS - 1
    report_twice(course, pausing)
    assert course.reported(last, Report(1, 1, 10, {METRIC: 0.5})) == "end"
    course.ended(last, "stopped_early", step=10, epoch=1, metrics={METRIC: 0.5}, train_s=0.1)
    course.paused(pausing, 20, 0.2)
    if is_killed:
        events, log = log.events, MemoryLog()
        course = Course(new_search(log, budget), log, Afterwards())
        course.replay(events)
        course.begin()

    assert course.is_over == is_killed  # who goes on gives it up as the first thing
    assert course.next_work() is None

    assert course.is_over
    outcomes = [trial.outcome for trial in course.search.trials]
    assert outcomes == [*last * ["stopped"], "stopped_early"]


def report_twice(course: Course, number: int) -> None:
    for time in (1, 2):
        reply = course.reported(number, Report(time, time, 10 * time, {METRIC: 0.5}, 0.1 * time))
        assert reply == "go_on"


def test_a_state_is_to_be_taken_over_until_its_trial_has_gone_on(
    straight: tuple[Search, MemoryLog],
) -> None:
    """What a driver finds to be done after a kill, at each event."""
    events = straight[1].events
    for room in range(1, len(events)):
        log = MemoryLog()  # takes what a killed driver decided and did not come to log
        search = new_search(log)
        replay(search, events[:room])
        search.begin()
        for trial in search.trials:
            own = [e for e in [*events[:room], *log.events] if e.get("trial") == trial.number]
            kinds = [e.get("action", e["event"]) for e in own]
            copied = [i for i, kind in enumerate(kinds) if kind == "copy"]
            has_gone_on = bool(copied) and "reported" in kinds[copied[-1] :]
            if copied and not has_gone_on:
                copy = own[copied[-1]]
                before = [e for e in [*events[:room], *log.events] if e.get("action") == "copy"]
                num_taken = sum(e["trial"] == copy["source"] for e in before[: before.index(copy)])
                assert trial.taken == (copy["source"], 10 * copy["time"], num_taken)
            elif has_gone_on:
                assert trial.taken is None


def test_events_of_other_searches_are_as_they_were(straight: tuple[Search, MemoryLog]) -> None:
    kept = next(e for e in straight[1].events if e.get("action") == "go_on")

    assert "source" not in kept
    assert "assignment" not in kept
