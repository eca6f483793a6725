"""The median rule."""

import math

import pytest

from distrain.config.names import Mode
from distrain.tune.median import MedianRule
from distrain.tune.schedulers import OneByOne
from distrain.tune.verdicts import Verdict


def following(mode: Mode = "max", grace_period: int = 1, min_samples: int = 3) -> OneByOne:
    rule = MedianRule(mode=mode, max_time=5, grace_period=grace_period, min_samples=min_samples)
    return OneByOne(10, rule)


def run(scheduler: OneByOne, trial: int, curve: list[float]) -> list[Verdict]:
    return [
        verdict
        for time, value in enumerate(curve, 1)
        for verdict in scheduler.report(trial, time, value)
    ]


def test_a_best_value_below_the_median_of_running_means_stops_a_trial() -> None:
    scheduler = following()
    # Running means at 2: 0.2, 0.6, 0.7.
    for trial, curve in enumerate([[0.1, 0.3], [0.4, 0.8], [0.6, 0.8]]):
        assert run(scheduler, trial, curve) == []
    assert scheduler.report(3, 1, 0.5) == []
    assert scheduler.report(3, 2, 0.1) == [
        Verdict(
            trial=3,
            action="stop",
            time=2,
            value=0.5,
            rung=None,
            cut=pytest.approx(0.6),
            rank=None,
            num_rivals=3,
            num_kept=None,
            text="Up to epoch 2 its best value is 0.5, and the median of 3 other trials' running "
            "means is 0.6; it needed at least 0.6, and is stopped.",
        )
    ]


@pytest.mark.parametrize(
    ("mode", "value", "num_stopped"),
    [("max", 0.5, 0), ("max", 0.49, 1), ("min", 0.5, 0), ("min", 0.51, 1), ("min", 0.1, 0)],
)
def test_as_good_as_the_median_is_good_enough(mode: Mode, value: float, num_stopped: int) -> None:
    scheduler = following(mode, min_samples=1)
    # The median of an even number is the mean of the middle two.
    for trial, rival in enumerate([0.5, 0.5]):
        run(scheduler, trial, [rival])
    assert len(scheduler.report(2, 1, value)) == num_stopped


def test_nobody_is_stopped_before_there_are_enough_others() -> None:
    scheduler = following(min_samples=3)
    falling = [0.9, 0.8, 0.7, 0.6]
    assert [len(scheduler.report(trial, 1, value)) for trial, value in enumerate(falling)] == [
        0,
        0,
        0,
        1,
    ]


def test_nobody_is_stopped_before_the_grace_period_nor_at_the_end() -> None:
    scheduler = following(grace_period=3, min_samples=1)
    run(scheduler, 0, [0.9] * 5)
    assert [len(run(scheduler, 1, [0.1] * count)) for count in (2, 3)] == [0, 1]
    assert run(scheduler, 2, [0.9] * 4) == []
    late = following(grace_period=5, min_samples=1)
    assert run(late, 0, [0.9] * 5) + run(late, 1, [0.1] * 5) == []


def test_stopped_and_finished_trials_count_where_they_have_reported() -> None:
    scheduler = following(min_samples=2)
    run(scheduler, 0, [0.9])
    run(scheduler, 1, [0.8])
    scheduler.leave(0)
    assert len(scheduler.report(2, 1, 0.1)) == 1
    (verdict,) = scheduler.report(3, 1, 0.2)
    assert (verdict.cut, verdict.num_rivals) == (0.8, 3)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_trial_without_a_number_is_stopped_and_spoils_no_median(mode: Mode) -> None:
    scheduler = following(mode, min_samples=1)
    run(scheduler, 0, [0.5])
    (verdict,) = scheduler.report(1, 1, math.nan)
    assert (verdict.value, verdict.cut) == (None, 0.5)
    assert "it has no finite value, and the median of 1 other" in verdict.text
    # The median of one value that is nan and one that is none is worse than all.
    assert scheduler.report(2, 1, 0.1) == []


def test_a_value_reported_again_is_no_second_one() -> None:
    scheduler = following(min_samples=1)
    assert run(scheduler, 0, [0.2]) == run(scheduler, 0, [0.9]) == []
    (verdict,) = scheduler.report(1, 1, 0.1)
    assert (verdict.cut, verdict.num_rivals) == (0.2, 1)
