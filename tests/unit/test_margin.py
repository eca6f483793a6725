"""By how much a winner leads, over the luck of seeds, is told true whoever comes next."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from distrain.margin import Noise, Setting, margin, settings_of
from distrain.tune.confirm import ConfirmResult
from distrain.tune.trials import Trial

METRIC = "validation/accuracy"


def named(number: int) -> str:
    return f"trial {number}"


def search(*values: float | None, num_seeds: int = 1, mode: str = "max") -> Any:
    """Return a search whose trials came to these values; None: it was stopped."""
    trials = [
        Trial(number, {}, state="ended", outcome="stopped")
        if value is None
        else Trial(number, {}, state="ended", outcome="finished", metrics={METRIC: value})
        for number, value in enumerate(values)
    ]
    return SimpleNamespace(
        plan=SimpleNamespace(metric=METRIC, mode=mode, num_seeds=num_seeds), trials=trials
    )


def text_of(found: Any, confirmed: ConfirmResult | None = None) -> str:
    plan = found.plan
    return margin(settings_of(found), plan.mode, plan.num_seeds, confirmed).text(named)


def confirmed(*values: float) -> ConfirmResult:
    return ConfirmResult(0, METRIC, dict(enumerate(values)), num_failed=0, epochs=4)


def test_a_margin_without_other_seeds_is_told_to_be_of_unknown_worth() -> None:
    told = text_of(search(0.9, None, 0.875))

    assert told == (
        "It leads trial 2, 0.875, by 0.025. How much of that is luck of the seed is not known: "
        "tune.confirm or tune.num_seeds tells."
    )


@pytest.mark.parametrize(
    ("others", "word"), [((0.9, 0.9001, 0.8999), "beyond"), ((0.85, 0.9, 0.95), "within")]
)
def test_a_margin_is_held_against_the_spread_of_other_seeds(
    others: tuple[float, ...], word: str
) -> None:
    told = text_of(search(0.9, 0.875), confirmed(*others))

    assert f" This is {word} the noise of seeds: over 3 other seeds of the winner's" in told
    assert "best of" not in told


def test_settings_own_seeds_tell_of_the_noise_too() -> None:
    told = text_of(search(0.75, 0.85, 0.5, 0.5, num_seeds=2))

    # Two seeds of the winner differ by 0.1, a standard deviation of 0.0707, and those of the other
    # not at all: 0.05 together, as is the deviation of the difference of two means of two. Of two
    # degrees of freedom, Student's distribution takes 4.3 of them.
    assert told.startswith("It leads trial 2, 0.5, by 0.3. This is beyond the noise of seeds: over")
    assert "2 settings with 2 seeds each a run varies by ± 0.05, so that" in told
    assert "differ by more than 0.2151 in one case of twenty." in told


def test_noise_is_of_all_seeds_with_their_degrees_of_freedom() -> None:
    settings = [Setting(0, (0.9, 0.96)), Setting(2, (0.8, 0.8, 0.86)), Setting(5, (0.1,))]

    noise = margin(settings, "max", 3, None).noise

    assert noise is not None
    assert noise.degrees == 3
    assert noise.std == pytest.approx(math.sqrt((0.06**2 / 2 + 2 * 0.0012) / 3))
    assert noise.between == pytest.approx(noise.std * math.sqrt(1 / 2 + 1 / 3))


@pytest.mark.parametrize(
    ("degrees", "beyond"), [(1, 12.706), (2, 4.303), (10, 2.228), (1000, 1.962)]
)
def test_of_few_seeds_a_lead_has_to_be_larger(degrees: int, beyond: float) -> None:
    assert Noise(0.1, 0.1, degrees, "").bound == pytest.approx(0.1 * beyond, abs=1e-3)


def test_of_the_best_of_many_it_is_told_that_chance_alone_puts_it_further_ahead() -> None:
    told = text_of(search(0.9, 0.875, 0.87, 0.8), confirmed(0.89, 0.9, 0.91))

    assert told.endswith(" The best of 4 leads by luck more often than one of two.")


def test_seeds_that_make_no_difference_are_told_to_make_none() -> None:
    told = text_of(search(0.9, 0.875), confirmed(0.9, 0.9))

    assert told.endswith(
        "by 0.025. Over 2 other seeds of the winner's setting all values are the same."
    )


def test_a_setting_of_which_seeds_failed_may_have_a_better_mean_and_is_told_so() -> None:
    told = text_of(search(0.8, 0.8, 0.95, None, 0.7, 0.7, num_seeds=2))

    assert told.startswith("It leads trial 4, 0.7, by 0.1. ")
    assert told.endswith(
        "But trial 2 has a better mean, 0.95; only 1 of the 2 seeds of that came to their end."
    )


def test_a_winner_that_is_behind_all_others_is_not_told_to_lead() -> None:
    assert text_of(search(0.8, 0.8, 0.95, None, num_seeds=2)) == (
        "It is behind trial 2, 0.95, by 0.15; only 1 of the 2 seeds of that came to their end."
    )


def test_a_runner_up_without_a_number_did_come_to_its_end() -> None:
    told = text_of(search(0.8, math.nan))

    assert told == (
        "Next comes trial 1; one of the two values is not finite, so there is no margin."
    )


def test_a_setting_is_called_by_its_first_trial_that_is_whole() -> None:
    assert "leads trial 3, 0.7," in text_of(search(0.8, 0.8, None, 0.7, num_seeds=2))


def test_less_is_ahead_where_less_is_better() -> None:
    told = text_of(search(0.5, 0.75, 0.625, mode="min"))

    assert told.startswith("It leads trial 2, 0.625, by 0.125.")


def test_a_tie_is_told_as_one() -> None:
    told = text_of(search(0.9, 0.9))

    assert told.startswith("It is level with trial 1, 0.9, and won as its number is lower. How")


def test_a_trial_that_alone_came_to_its_end_has_no_margin() -> None:
    assert text_of(search(0.9, None)).startswith("No other setting came to its end")
