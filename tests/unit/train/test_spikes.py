"""When a loss is out of the ordinary."""

import json
from dataclasses import asdict

import pytest

from distrain.train.spikes import LEAST_STEPS, SPIKE_FACTOR, WINDOW_STEPS, LossWatch


def watch_of(losses: list[float]) -> LossWatch:
    watch = LossWatch()
    for loss in losses:
        watch.judge(loss, is_finite=True, is_whole=True)
    return watch


@pytest.mark.parametrize(
    ("before", "loss", "finding"),
    [
        ([1.0] * LEAST_STEPS, SPIKE_FACTOR + 0.01, "spike"),
        ([1.0] * LEAST_STEPS, SPIKE_FACTOR, None),
        ([1.0] * (LEAST_STEPS - 1), 1000.0, None),
        ([0.1, *[1.0] * LEAST_STEPS], 4.0, None),
        ([-1.0] * LEAST_STEPS, 1000.0, None),
        ([-1.0, *[1.0] * LEAST_STEPS], 6.0, "spike"),
        ([9.0] * LEAST_STEPS + [1.0] * WINDOW_STEPS, 6.0, "spike"),
    ],
)
def test_a_spike_is_far_above_the_median_of_the_last_losses(
    before: list[float], loss: float, finding: str | None
) -> None:
    assert watch_of(before).judge(loss, is_finite=True, is_whole=True) == finding


def test_a_short_step_is_judged_by_nothing_but_being_finite() -> None:
    watch = watch_of([1.0] * 20)
    assert watch.judge(100.0, is_finite=True, is_whole=False) is None
    assert watch.judge(float("nan"), is_finite=False, is_whole=False) == "not finite"


def test_losses_that_rise_and_stay_become_the_ordinary_ones() -> None:
    watch = watch_of([1.0] * 20)
    found = [watch.judge(8.0, is_finite=True, is_whole=True) for _ in range(40)]
    assert found[:20] == ["spike"] * 20
    assert found[-1] is None


def test_steps_that_are_not_finite_are_counted_in_a_row_and_leave_the_median() -> None:
    watch = watch_of([1.0] * 20)
    for _ in range(3):
        watch.judge(float("nan"), is_finite=False, is_whole=True)
    assert (watch.num_not_finite, watch.median) == (3, 1.0)
    watch.judge(1.0, is_finite=True, is_whole=True)
    assert watch.num_not_finite == 0


def test_a_watch_passes_through_json() -> None:
    watch = watch_of([0.1 * number for number in range(30)])
    assert LossWatch(**json.loads(json.dumps(asdict(watch)))) == watch
