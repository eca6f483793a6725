"""A search from its events: that a crash changes nothing, wherever it comes."""

import contextlib
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.errors import CheckpointError
from distrain.tune.budget import Budget
from distrain.tune.replay import replay
from distrain.tune.search import Search
from distrain.tune.trials import Trial
from tests.simulated_trials import (
    NUM_TRIALS,
    SCHEDULERS,
    KilledError,
    MemoryLog,
    Simulation,
    curves_of,
    cut_at_rungs,
    decisions,
    ends,
    plan_of,
    run_on,
    run_on_killed,
    searched,
)


@given(
    name=st.sampled_from(sorted(SCHEDULERS)),
    kills=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_a_killed_driver_repeats_no_finished_trial_and_loses_no_decision(
    name: str, kills: list[int], seed: int
) -> None:
    curves = curves_of(seed, fail=0.1)
    log = MemoryLog()

    search = run_on_killed(log, kills, lambda room: run_on(name, curves, log, seed + room))

    started = [event for event in log.events if event["event"] == "started"]
    ended: dict[int, int] = {}
    for place, event in enumerate(log.events):
        if event["event"] == "ended":
            assert event["trial"] not in ended
            ended[event["trial"]] = place
    assert sorted(ended) == list(range(NUM_TRIALS))
    for event in started:
        assert log.events.index(event) < ended[event["trial"]]
    decided = [(e["trial"], e["time"]) for e in log.events if e["event"] == "decided"]
    assert len(decided) == len(set(decided))
    assert search.notes == []


@given(kills=st.lists(st.integers(1, 80), min_size=1, max_size=4), seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_a_killed_synchronous_search_decides_as_if_it_had_not_been(
    kills: list[int], seed: int
) -> None:
    curves = curves_of(seed, fail=0.1)
    straight, straight_log = searched(plan_of("sha"), curves)
    log = MemoryLog()

    search = run_on_killed(log, kills, lambda room: run_on("sha", curves, log, seed + room))

    assert decisions(log) == decisions(straight_log)
    assert ends(search) == ends(straight)


@pytest.mark.parametrize("name", ["sha", "hyperband"])
def test_who_ends_by_itself_at_a_rung_ends_so_wherever_the_driver_is_killed(name: str) -> None:
    """The driver is killed at each event of the whole search in turn."""
    curves = cut_at_rungs(curves_of(4), 4)
    straight, straight_log = searched(plan_of(name), curves)
    for room in range(1, len(straight_log.events)):
        log = MemoryLog(room=room)
        with pytest.raises(KilledError):
            run_on(name, curves, log, 0)
        log.room = None

        search = run_on(name, curves, log, room + 1)

        assert decisions(log) == decisions(straight_log)
        assert ends(search) == ends(straight)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_reports_that_do_not_say_whether_they_are_the_last_give_the_same_state(name: str) -> None:
    before, log = searched(plan_of(name), curves_of(2))
    old = [{key: one[key] for key in one if key != "is_end"} for one in log.events]
    later_log = MemoryLog()
    search = Search(plan_of(name), later_log)

    replay(search, old)

    assert later_log.events == []
    assert ends(search) == ends(before)


def test_a_batch_that_was_cut_is_asked_for_again_as_it_was() -> None:
    log = MemoryLog(room=6)  # of the batch of 16, five trials were suggested
    with pytest.raises(KilledError):
        run_on("sha", curves_of(1), log, 0)
    log.room = None
    plan = plan_of("sha")
    search = Search(plan, log)

    replay(search, list(log.events))
    search.begin()

    assert plan.sampler.asked == [(0, 16, [])]
    assert [trial.assignment["x"] for trial in search.trials] == list(range(16))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_events_of_a_search_give_its_state_again_and_log_nothing(name: str) -> None:
    searched_before, log = searched(plan_of(name), curves_of(2, fail=0.1))
    later_log = MemoryLog()
    search = Search(plan_of(name), later_log)

    replay(search, list(log.events))

    assert later_log.events == []
    assert [known(trial) for trial in search.trials] == [
        known(trial) for trial in searched_before.trials
    ]
    assert search.epochs_spent == searched_before.epochs_spent
    assert search.is_over


def known(trial: Trial) -> tuple[Any, ...]:
    reached = (trial.attempt, trial.epoch, trial.step)
    return trial.outcome, reached, trial.reports, trial.verdicts, trial.metrics, str(trial.error)


@pytest.mark.parametrize("name", ["asha", "median"])
def test_how_a_trial_has_ended_stands_where_an_earlier_version_judged_otherwise(name: str) -> None:
    searched_before, log = searched(plan_of("none"), curves_of(2))
    assert set(ends(searched_before).values()) == {"finished"}
    search = Search(plan_of(name), log)

    replay(search, list(log.events))

    assert ends(search) == ends(searched_before)
    assert search.num_ended == NUM_TRIALS
    ended = [event["trial"] for event in log.events if event["event"] == "ended"]
    assert sorted(ended) == list(range(NUM_TRIALS))
    assert search.best is not None
    assert searched_before.best is not None
    assert search.best.number == searched_before.best.number


def test_events_that_are_missing_are_told() -> None:
    _, log = searched(plan_of("sha"), curves_of(1))
    kept = [one for one in log.events if not is_suggestion(one, 3)]
    search = Search(plan_of("sha"), MemoryLog())

    with pytest.raises(CheckpointError, match=r"trial 4 comes after 3 others in the event log"):
        replay(search, kept)


def is_suggestion(event: Mapping[str, Any], trial: int) -> bool:
    return event["event"] == "suggested" and event["trial"] == trial


def test_a_budget_of_seconds_counts_those_of_earlier_drivers() -> None:
    events = [
        {"event": "began", "time_ms": 1_000},
        {"event": "used_up", "trial": 16, "count": 0, "time_ms": 31_000},
        {"event": "began", "time_ms": 900_000},  # what passed between them counts for nothing
        {"event": "used_up", "trial": 16, "count": 0, "time_ms": 920_000},
    ]
    now_s = iter([100.0, 100.0, 100.0, 100.0, 109.0, 110.0]).__next__
    search = Search(plan_of("none", budget=Budget(wall_s=60)), MemoryLog(), now_s)
    replay(search, events)
    search.begin()

    assert search.wall_s == 50.0
    assert not search.is_spent
    assert search.is_spent


def test_the_time_without_a_driver_is_not_searched_however_often_a_search_goes_on() -> None:
    killed, again = MemoryLog(room=6), MemoryLog()  # of the batch of 16, five were suggested
    with pytest.raises(KilledError):
        run_on("sha", curves_of(1), killed, 0)
    events = [{**event, "time_ms": 1_000} for event in killed.events]
    search = Search(plan_of("sha"), again, lambda: 100.0)
    replay(search, events)
    search.begin()
    events += [{**event, "time_ms": 900_000} for event in again.events]
    later = Search(plan_of("sha"), MemoryLog(), lambda: 100.0)

    replay(later, events)
    later.begin()

    assert [event["event"] for event in again.events] == ["began", *11 * ["suggested"]]
    assert later.wall_s == 0.0


def test_the_time_at_which_the_winner_is_told_is_not_searched() -> None:
    events = [
        {"event": "began", "time_ms": 1_000},
        {"event": "used_up", "trial": 16, "count": 0, "time_ms": 31_000},
        {"event": "won", "trial": 3, "time_ms": 700_000},
    ]
    search = Search(plan_of("none"), MemoryLog(), lambda: 100.0)
    replay(search, events)
    search.begin()

    assert search.wall_s == 30.0


@pytest.mark.parametrize("name", ["none", "asha", "median"])
def test_a_search_that_goes_on_with_as_many_trials_as_have_begun_ends_with_those(
    name: str,
) -> None:
    log = MemoryLog(room=40)
    with contextlib.suppress(KilledError):
        run_on(name, curves_of(4), log, 4)
    log.room = None
    num = sum(event["event"] == "suggested" for event in log.events)
    assert 1 < num < NUM_TRIALS
    search = Search(plan_of(name, num), log)
    replay(search, list(log.events))
    search.begin()

    Simulation(curves_of(4), 3, random.Random(4)).run(search)

    assert len(search.trials) == num
    assert {trial.state for trial in search.trials} == {"ended"}
