"""What trials measured: the value that decides, a repeat."""

import math

import pytest

from distrain.errors import TrainError
from distrain.tune.measured import difference, value_of
from distrain.tune.trials import Report, Trial

METRIC = "validation/loss"


def test_a_metric_that_is_not_measured_is_told_with_what_is() -> None:
    with pytest.raises(TrainError, match=r"validation/loss is not among what was measured: a, lr"):
        value_of({"lr": 0.1, "a": 1.0}, METRIC, "trial 0")


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_the_same_bits_again_are_no_difference(value: float) -> None:
    before = Trial(0, {}, reports=[(1, value)])

    assert difference(before, Report(1, 1, 10, {METRIC: value}), METRIC, "trial 0") is None


def test_another_value_than_before_is_told() -> None:
    before = Trial(0, {}, reports=[(1, 0.5), (2, 0.4)])

    told = difference(before, Report(1, 1, 10, {METRIC: 0.6}), METRIC, "trial 0")

    assert told == (
        "trial 0 measured validation/loss = 0.6 at 1, and 0.5 before it went on: its bits are "
        "broken"
    )


def test_a_time_that_was_not_reported_before_is_not_compared() -> None:
    assert difference(Trial(0, {}), Report(1, 1, 10, {METRIC: 0.6}), METRIC, "trial 0") is None
