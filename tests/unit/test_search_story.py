"""What a search's description says of its margin: over the luck of seeds, or that it is unknown."""

from types import SimpleNamespace
from typing import Any

import pytest

from distrain.search_story import margin_text
from distrain.tune.confirm import ConfirmResult
from distrain.tune.trials import Trial

METRIC = "validation/accuracy"


def search(*values: float | None, num_seeds: int = 1, mode: str = "max") -> Any:
    """Return a search whose trials came to these values; None: it was stopped."""
    trials = [
        Trial(number, {}, outcome="stopped")
        if value is None
        else Trial(number, {}, outcome="finished", metrics={METRIC: value})
        for number, value in enumerate(values)
    ]
    means = {
        first: sum(v for v in values[first : first + num_seeds] if v is not None) / num_seeds
        for first in range(0, len(values), num_seeds)
        if values[first] is not None
    }
    best = (max if mode == "max" else min)(means, key=lambda first: means[first])
    return SimpleNamespace(
        plan=SimpleNamespace(metric=METRIC, mode=mode, num_seeds=num_seeds),
        trials=trials,
        best=trials[best],
        best_value=means[best],
    )


def confirmed(*values: float) -> ConfirmResult:
    return ConfirmResult(0, METRIC, dict(enumerate(values)), num_failed=0, epochs=4)


def test_a_margin_without_other_seeds_is_told_to_be_of_unknown_worth() -> None:
    told = margin_text(search(0.9, None, 0.875), None)

    assert told.startswith("0.025 ahead of [trial 2](distrain:trial/2), 0.875. How much of that")
    assert "`tune.confirm` or `tune.num_seeds` tells" in told


@pytest.mark.parametrize(
    ("others", "word"), [((0.9, 0.9001, 0.8999), "beyond"), ((0.85, 0.9, 0.95), "within")]
)
def test_a_margin_is_held_against_the_spread_of_other_seeds(
    others: tuple[float, ...], word: str
) -> None:
    told = margin_text(search(0.9, 0.875), confirmed(*others))

    assert f"; {word} the noise of seeds: a run varies by ±" in told


def test_a_setting_s_own_seeds_tell_of_the_noise_too() -> None:
    told = margin_text(search(0.75, 0.85, 0.5, 0.5, num_seeds=2), None)

    # Two seeds of the winner differ by 0.1: a standard deviation of 0.0707, over a mean of two.
    assert told.startswith("0.3 ahead of [trial 2](distrain:trial/2), 0.5; beyond the noise")
    assert "a run varies by ± 0.07071, so that the difference of two varies by ± 0.07071" in told


def test_less_is_ahead_where_less_is_better() -> None:
    told = margin_text(search(0.5, 0.75, 0.625, mode="min"), None)

    assert told.startswith("0.125 ahead of [trial 2](distrain:trial/2), 0.625.")


def test_a_tie_is_told_as_one() -> None:
    told = margin_text(search(0.9, 0.9), None)

    assert told.startswith("none: level with [trial 1](distrain:trial/1), and the lower number")


def test_a_trial_that_alone_came_to_its_end_is_ahead_of_nobody() -> None:
    assert margin_text(search(0.9, None), None) == "no other trial came to its end"
