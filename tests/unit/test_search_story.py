"""What a search's description says of its margin: over the luck of seeds, or that it is unknown."""

from types import SimpleNamespace
from typing import Any

import pytest

from distrain.margin import margin_text
from distrain.search_story import stops_text
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
    assert "better mean" not in told
    assert "`tune.confirm` or `tune.num_seeds` tells" in told


@pytest.mark.parametrize(
    ("others", "word"), [((0.9, 0.9001, 0.8999), "beyond"), ((0.85, 0.9, 0.95), "within")]
)
def test_a_margin_is_held_against_the_spread_of_other_seeds(
    others: tuple[float, ...], word: str
) -> None:
    told = margin_text(search(0.9, 0.875), confirmed(*others))

    assert f". This is {word} the noise of seeds: over 3 of them a run varies by ±" in told
    assert "the best of" not in told


def test_a_setting_s_own_seeds_tell_of_the_noise_too() -> None:
    told = margin_text(search(0.75, 0.85, 0.5, 0.5, num_seeds=2), None)

    # Two seeds of the winner differ by 0.1: a standard deviation of 0.0707, which is also that of
    # the difference of two means of two. Of two values, Student's distribution takes 12.7 of them.
    assert told.startswith("0.3 ahead of [trial 2](distrain:trial/2), 0.5. This is within the")
    assert "a run varies by ± 0.07071, so that two differ by more than 0.8985 in one case" in told


def test_of_the_best_of_many_it_is_told_that_chance_alone_puts_it_further_ahead() -> None:
    told = margin_text(search(0.9, 0.875, 0.87, 0.8), confirmed(0.89, 0.9, 0.91))

    assert told.endswith("; the best of 4 is ahead by more, from chance alone")


def test_a_setting_of_which_seeds_failed_may_have_a_better_mean_and_is_told_so() -> None:
    found = search(0.8, 0.8, 0.95, None, 0.7, 0.7, num_seeds=2)
    found.best, found.best_value = found.trials[0], 0.8  # the other has fewer that are whole

    told = margin_text(found, None)

    assert told.startswith("0.1 ahead of [trial 4](distrain:trial/4), 0.7. This is beyond the")
    assert "[trial 2](distrain:trial/2) has a better mean, 0.95, but only 1 of its 2 seeds" in told


def test_a_winner_that_is_behind_all_others_is_not_told_to_be_ahead() -> None:
    found = search(0.8, 0.8, 0.95, None, num_seeds=2)
    found.best, found.best_value = found.trials[0], 0.8

    told = margin_text(found, None)

    assert told.startswith("0.15 behind [trial 2](distrain:trial/2), 0.95. [trial 2](")
    assert "ahead" not in told


@pytest.mark.parametrize(
    ("num_stopped", "rungs", "told"),
    [
        (3, {}, "budget spent"),
        (3, {1: 2, 4: 1}, "lost against others, at epoch 1: 2, epoch 4: 1"),
        (5, {1: 2, 4: 1}, "lost against others, at epoch 1: 2, epoch 4: 1; 2 with the budget"),
    ],
)
def test_when_trials_were_stopped_adds_up(
    num_stopped: int, rungs: dict[int, int], told: str
) -> None:
    assert stops_text(num_stopped, rungs, "epoch") == told


def test_of_many_rungs_the_last_are_told_together() -> None:
    told = stops_text(23, dict.fromkeys(range(1, 12), 2), "epoch")

    assert told.endswith("epoch 8: 2, later: 6 further; 1 with the budget")


def test_less_is_ahead_where_less_is_better() -> None:
    told = margin_text(search(0.5, 0.75, 0.625, mode="min"), None)

    assert told.startswith("0.125 ahead of [trial 2](distrain:trial/2), 0.625.")


def test_a_tie_is_told_as_one() -> None:
    told = margin_text(search(0.9, 0.9), None)

    assert told.startswith("none: level with [trial 1](distrain:trial/1), and the lower number")


def test_a_trial_that_alone_came_to_its_end_is_ahead_of_nobody() -> None:
    assert margin_text(search(0.9, None), None) == "no other trial came to its end"
