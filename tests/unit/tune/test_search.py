"""The state of a search: what it gives away, what it decides, and what ends it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.errors import TrainError
from distrain.tune.budget import Budget
from distrain.tune.failures import MAX_SAME_FAILURES
from distrain.tune.replay import replay
from distrain.tune.search import Search
from distrain.tune.trials import Report
from tests.simulated_trials import (
    EPOCHS,
    METRIC,
    NUM_TRIALS,
    SCHEDULERS,
    MemoryLog,
    Numbered,
    curves_of,
    cut_at_rungs,
    decisions,
    ends,
    plan_of,
    run_on,
    searched,
)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_trial_comes_to_an_end_and_the_best_whole_one_wins(name: str) -> None:
    search, _ = searched(plan_of(name), curves_of(1))

    whole = [trial for trial in search.trials if trial.outcome == "finished"]
    assert len(search.trials) == NUM_TRIALS
    assert None not in ends(search).values()
    assert search.best is min(whole, key=lambda trial: (trial.metrics[METRIC], trial.number))


def test_without_a_scheduler_every_epoch_is_spent() -> None:
    search, _ = searched(plan_of("none"), curves_of(1))

    assert search.epochs_spent == NUM_TRIALS * EPOCHS
    assert set(ends(search).values()) == {"finished"}


def test_halving_spends_what_its_rungs_say() -> None:
    search, _ = searched(plan_of("sha"), curves_of(1))

    # 16 trials to epoch 1, 8 to 2, 4 to 4, and 2 to the end at 8.
    assert search.epochs_spent == 16 + 8 * 1 + 4 * 2 + 2 * 4


@given(slots=st.integers(1, 16), seed=st.integers(0, 1_000))
@settings(max_examples=60, deadline=None)
def test_synchronous_halving_decides_alike_on_any_number_of_slots(slots: int, seed: int) -> None:
    curves = curves_of(3)
    one, log = searched(plan_of("sha"), curves, slots=1)

    other, other_log = searched(plan_of("sha"), curves, slots=slots, seed=seed)

    assert decisions(other_log) == decisions(log)
    assert ends(other) == ends(one)
    assert other.best is not None
    assert one.best is not None
    assert other.best.number == one.best.number


@pytest.mark.parametrize("name", ["sha", "hyperband"])
@given(slots=st.integers(1, 16), seed=st.integers(0, 1_000))
@settings(max_examples=30, deadline=None)
def test_who_ends_by_itself_at_a_rung_ends_alike_on_any_number_of_slots(
    name: str, slots: int, seed: int
) -> None:
    curves = cut_at_rungs(curves_of(seed), seed)
    one, log = searched(plan_of(name), curves, slots=1)

    other, other_log = searched(plan_of(name), curves, slots=slots, seed=seed)

    assert decisions(other_log) == decisions(log)
    assert ends(other) == ends(one)
    at_their_end = [trial for trial in one.trials if trial.time == len(curves[trial.number])]
    assert {trial.outcome for trial in at_their_end} == {"finished"}


def test_a_space_that_is_used_up_ends_the_search_and_holds_no_rung_up() -> None:
    search, _ = searched(plan_of("sha", sampler=Numbered(num_points=5)), curves_of(1))

    assert len(search.trials) == 5
    assert search.best is not None


def test_ten_failures_of_one_cause_end_the_search_with_it() -> None:
    curves: dict[int, list[Any]] = {trial: ["no such column 17"] for trial in range(NUM_TRIALS)}

    search, _ = searched(plan_of("none"), curves, slots=1)

    assert len(search.trials) == MAX_SAME_FAILURES
    assert search.cause is not None
    assert "10 trials failed of the same cause, at last: no such column 17" in str(search.cause)


def test_failures_of_many_causes_end_nothing() -> None:
    curves: dict[int, list[Any]] = {
        trial: [f"{'abcdefghijklmnop'[trial]} is missing"] for trial in range(NUM_TRIALS)
    }
    curves[3] = curves_of(1)[3]

    search, _ = searched(plan_of("none"), curves)

    assert search.cause is None
    assert search.best is not None
    assert search.best.number == 3


def test_a_trial_that_dies_is_tried_again_and_given_up_where_it_dies_twice_at_one_step() -> None:
    search = Search(plan_of("none", num=1), MemoryLog())
    for _ in range(2):
        work = search.next_work()
        assert work is not None
        search.lost(0, 7, TrainError("its process was killed"))

    assert search.next_work() is None
    assert search.trials[0].outcome == "failed"
    assert search.is_over


def test_a_budget_of_epochs_ends_what_runs_with_what_it_has() -> None:
    search, _ = searched(plan_of("none", budget=Budget(epochs=20)), curves_of(1), slots=2)

    assert 20 <= search.epochs_spent <= 20 + 2
    assert "stopped_early" in ends(search).values()
    assert search.best is not None


def test_a_metric_that_is_not_measured_is_told_with_what_is() -> None:
    search = Search(plan_of("none"), MemoryLog())
    search.next_work()

    with pytest.raises(TrainError, match=r"validation/loss is not among what was measured: lr"):
        search.reported(0, Report(1, 1, 10, {"lr": 0.1}))


def test_a_trial_that_measures_something_else_again_is_told() -> None:
    search = Search(plan_of("none"), MemoryLog())
    search.next_work()
    search.reported(0, Report(1, 1, 10, {METRIC: 0.5}))

    search.reported(0, Report(1, 1, 10, {METRIC: 0.6}))

    assert search.notes == [
        "trial 0 measured validation/loss = 0.6 at 1, and 0.5 before it went on: its bits are "
        "broken"
    ]


def test_an_interrupted_search_gives_nothing_away_and_goes_on_later() -> None:
    log = MemoryLog()
    search = Search(plan_of("none"), log)
    search.begin()
    work = search.next_work()
    assert work is not None
    search.interrupt()
    search.paused(work.trial, 5, 0.1)
    assert search.next_work() is None
    assert search.is_over

    later = run_on("none", curves_of(1), log, 0)

    assert set(ends(later).values()) == {"finished"}


def test_what_a_smaller_budget_gives_up_asks_for_no_actor() -> None:
    log = MemoryLog()
    search = Search(plan_of("none", num=2), log)
    search.begin()
    assert [search.next_work() is not None for _ in range(2)] == [True, True]
    search.reported(1, Report(1, 1, 10, {METRIC: 0.5}))
    search.ended(0, "finished", step=80, epoch=8, metrics={METRIC: 0.4}, train_s=1.0)
    search.interrupt()
    search.paused(1, 10, 0.1)
    later = Search(plan_of("none", num=2, budget=Budget(epochs=4)), log)
    replay(later, list(log.events))

    later.begin()

    assert later.is_over
    assert ends(later) == {0: "finished", 1: "stopped"}


@pytest.mark.parametrize("name", ["asha", "sha"])
def test_thousands_of_trials_cost_microseconds_and_little_memory(name: str) -> None:
    num = 2_000
    search, _ = searched(plan_of(name, num=num), curves_of(5, num), slots=8)

    assert len(search.trials) == num
    assert search.best is not None
