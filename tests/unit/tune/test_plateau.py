"""The plateau rule."""

import math

import pytest

from distrain.tune.plateau import PlateauRule
from distrain.tune.schedulers import OneByOne
from distrain.tune.verdicts import Verdict


def following(window: int = 3, tolerance: float = 0.01, grace_period: int = 1) -> OneByOne:
    rule = PlateauRule(max_time=6, grace_period=grace_period, window=window, tolerance=tolerance)
    return OneByOne(4, rule)


def test_a_trial_ends_as_finished_when_its_last_values_are_as_good_as_equal() -> None:
    scheduler = following()
    rising = [0.2, 0.5, 0.501]
    assert [scheduler.report(0, time, value) for time, value in enumerate(rising, 1)] == [[]] * 3
    assert scheduler.report(0, 4, 0.504) == [
        Verdict(
            trial=0,
            action="finish",
            time=4,
            value=0.504,
            rung=None,
            cut=None,
            rank=None,
            num_rivals=0,
            num_kept=None,
            text="Its last 3 values up to epoch 4 lie between 0.5 and 0.504, no more than 0.01 of "
            "the largest apart; it ends with what it has.",
        )
    ]
    assert scheduler.report(0, 5, 0.504) == []


@pytest.mark.parametrize(
    ("values", "ends_at"),
    [
        ([1.0, 1.0], []),
        ([1.0, 1.0, 1.0], [3]),
        ([1.0, 1.02, 1.0, 1.0, 1.0], [5]),
        ([100.0, 100.5, 101.0], [3]),
        ([-100.0, -100.5, -101.0], [3]),
        ([0.0, 0.0, 0.0], [3]),
        ([0.01, -0.01, 0.01], []),
        ([math.nan] * 5, []),
        ([math.inf] * 5, []),
        ([math.nan, 1.0, 1.0, 1.0], [4]),
        ([1.0, 2.0, 3.0, 4.0, 4.0, 4.0], []),
    ],
)
def test_where_a_plateau_is(values: list[float], ends_at: list[int]) -> None:
    scheduler = following()
    found = [time for time, value in enumerate(values, 1) if scheduler.report(0, time, value)]
    assert found == ends_at


def test_no_trial_ends_before_the_grace_period() -> None:
    scheduler = following(grace_period=5)
    assert [len(scheduler.report(0, time, 1.0)) for time in range(1, 6)] == [0, 0, 0, 0, 1]


def test_trials_are_judged_by_their_own_values_alone() -> None:
    scheduler = following(window=2)
    found = [scheduler.report(trial, 1, 1.0) for trial in range(4)]
    assert found == [[]] * 4
    scheduler.leave(0)
    assert len(scheduler.report(1, 2, 1.0)) == 1
