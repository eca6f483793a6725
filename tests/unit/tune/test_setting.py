"""Settings: which trials one has, and which setting is the better one."""

import math

import pytest

from distrain.config.names import Mode
from distrain.tune.setting import setting_of, setting_rank
from distrain.tune.trials import Trial

METRIC = "validation/loss"


def whole(number: int, value: float) -> Trial:
    return Trial(number, {}, state="ended", outcome="finished", metrics={METRIC: value})


def failed(number: int) -> Trial:
    return Trial(number, {}, state="ended", outcome="failed")


def beats(ours: Trial, theirs: Trial, mode: Mode) -> bool:
    return setting_rank([ours], METRIC, mode, 1)[0] < setting_rank([theirs], METRIC, mode, 1)[0]


@pytest.mark.parametrize(
    ("ours", "theirs", "mode", "is_ours"),
    [
        (0.1, 0.2, "min", True),
        (0.1, 0.2, "max", False),
        (0.2, 0.1, "max", True),
        (math.nan, 0.1, "min", False),
        (0.1, math.nan, "max", True),
        (math.nan, math.nan, "min", False),
        (0.1, 0.1, "min", False),
    ],
)
def test_the_better_value_beats(ours: float, theirs: float, mode: Mode, is_ours: bool) -> None:
    assert beats(whole(1, ours), whole(0, theirs), mode) is is_ours


def test_of_equal_trials_the_earlier_one_beats() -> None:
    assert beats(whole(0, 0.1), whole(1, 0.1), "min")


def test_of_several_seeds_the_mean_over_those_that_are_whole_counts() -> None:
    (missing, _), mean = setting_rank([whole(2, 0.1), failed(3)], METRIC, "min", 2)

    assert (missing, mean) == (1, 0.1)
    assert setting_rank([whole(0, 0.1), whole(1, 0.5)], METRIC, "min", 2)[1] == 0.3


def test_a_setting_with_more_whole_seeds_is_before_a_better_mean_over_fewer() -> None:
    fewer, _ = setting_rank([whole(0, 0.1), failed(1)], METRIC, "min", 2)
    more, _ = setting_rank([whole(2, 0.9), whole(3, 0.9)], METRIC, "min", 2)

    assert more < fewer


def test_the_trials_of_a_setting_are_those_beside_each_other() -> None:
    trials = [Trial(number, {}) for number in range(7)]

    assert [trial.number for trial in setting_of(trials, 4, 3)] == [3, 4, 5]
    assert [trial.number for trial in setting_of(trials, 6, 3)] == [6]
    assert [trial.number for trial in setting_of(trials, 6, 1)] == [6]
