"""How many epochs a search takes, told before it begins."""

from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.tune.extent import epochs_afterwards, epochs_between, epochs_of_settings
from distrain.tune.schedulers import OneByOne
from distrain.tune.verdicts import Verdict

METRICS = {"min": "validation/loss", "max": "validation/accuracy"}
SPACE = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}


def search_of(
    scheduler: Any,
    mode: str = "max",
    train: dict[str, int] | None = None,
    evaluate: dict[str, int] | None = None,
    **tune: Any,
) -> Settings:
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y", "task": "classification"},
            "train": train or {"epochs": 20},
            "evaluate": evaluate or {},
            "tune": {
                "metric": METRICS[mode], "num_trials": 64, "space": SPACE,
                "scheduler": scheduler, **tune,
            },
        }
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    ("scheduler", "least", "most"),
    [
        ("none", 64 * 20, 64 * 20),
        # 64 trials to epoch 1, 16 to 4, 4 to 16, and 1 to the end at 20.
        ("sha", 64 + 16 * 3 + 4 * 12 + 4, 64 + 16 * 3 + 4 * 12 + 4),
        ("pbt", 64 * 20, 64 * 20),
        # The first runs on; three go on at its first rung, where there are too few to compare.
        ("asha", 20 + 2 * 4 - 2 + 61, 64 * 20),
    ],
)
def test_least_and_most_epochs(mode: str, scheduler: str, least: int, most: int) -> None:
    found = epochs_between(search_of(scheduler, mode), steps_per_epoch=5)

    assert found[1] == most
    assert found[0] <= most
    if scheduler != "asha":
        assert found[0] == least


def test_asha_takes_few_epochs_where_every_trial_is_worse_than_the_first() -> None:
    least, _ = epochs_between(search_of("asha"), steps_per_epoch=5)

    assert 64 <= least <= 64 + 3 * 20


def test_a_budget_bounds_both() -> None:
    found = epochs_between(search_of("none", budget={"epochs": 100}), steps_per_epoch=5)

    assert found == (100, 100)


def test_what_comes_after_a_search_is_told_beside_it() -> None:
    settings = search_of("sha", confirm=3, audit_fraction=0.25)
    least, _ = epochs_between(settings, steps_per_epoch=5)

    found = epochs_afterwards(settings, 5)

    # 3 whole trials, and a quarter of what the scheduler saves.
    assert found == 3 * 20 + round(0.25 * (64 * 20 - least))
    assert epochs_afterwards(search_of("sha"), 5) == 0


def test_a_budget_takes_from_what_is_audited_in_the_same_measure() -> None:
    unbounded = search_of("sha", audit_fraction=0.5)
    least, _ = epochs_between(unbounded, steps_per_epoch=5)
    half = search_of("sha", audit_fraction=0.5, budget={"epochs": least // 2})

    found = epochs_afterwards(half, 5)

    assert found == pytest.approx(epochs_afterwards(unbounded, 5) / 2, abs=1)


def test_seeds_multiply_what_settings_take() -> None:
    one = epochs_between(search_of("sha", num_trials=32), steps_per_epoch=5)

    found = epochs_between(search_of("sha", num_seeds=2), steps_per_epoch=5)

    assert found == (2 * one[0], 2 * one[1])


def test_epochs_are_told_by_setting() -> None:
    least, most = epochs_of_settings(search_of("sha"), steps_per_epoch=5)

    assert sorted(least) == sorted(most) == [1] * 48 + [4] * 12 + [16] * 3 + [20]


def test_the_seeds_of_a_setting_count_for_it() -> None:
    least, _ = epochs_of_settings(search_of("none", num_seeds=2), steps_per_epoch=5)

    assert least == (40.0,) * 32


def test_a_budget_takes_from_all_settings_alike() -> None:
    least, _ = epochs_of_settings(search_of("none", budget={"epochs": 128}), steps_per_epoch=5)

    assert least == (2.0,) * 64


@pytest.mark.parametrize(
    ("length", "every", "time_attr", "least"),
    [
        # Three values are there after the third evaluation, not after the third epoch or step.
        ("epochs", {"every_epochs": 5}, "epoch", 64 * 15),
        ("steps", {"every_steps": 20}, "step", 64 * 60 / 5),
        # The last evaluation of 100 steps is at 90: none has three values before its end.
        ("steps", {"every_steps": 45}, "step", 64 * 100 / 5),
    ],
)
def test_a_plateau_is_seen_where_trials_are_evaluated(
    length: str, every: dict[str, int], time_attr: str, least: float
) -> None:
    [grace] = every.values()
    scheduler = {"name": "plateau", "window": 3, "time_attr": time_attr, "grace_period": grace}
    settings = search_of(scheduler, train={length: 100}, evaluate=every)

    found, _ = epochs_between(settings, steps_per_epoch=5)

    assert found == least


def test_steps_between_evaluations_are_not_played_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[int] = []
    rule = {"name": "median", "time_attr": "step", "grace_period": 1000}
    settings = search_of(rule, train={"steps": 10_500}, evaluate={"every_steps": 1000})
    report = OneByOne.report

    def heard(self: OneByOne, trial: int, time: int, value: float) -> list[Verdict]:
        reported.append(time)
        return report(self, trial, time, value)

    monkeypatch.setattr(OneByOne, "report", heard)
    _, most = epochs_between(settings, steps_per_epoch=100)

    assert most == 64 * 105
    assert set(reported) == set(range(1000, 10_001, 1000))
