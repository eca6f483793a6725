"""Schedulers by name, and what holds for every one of them."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.errors import ConfigError
from distrain.tune.schedulers import build_scheduler, time_attr
from tests.simulated_search import Searched, call, cut_short, random_curves, search

NAMES = ["none", "sha", "asha", "hyperband", "median", "plateau", "pbt"]
MAX_TIME = 9


def settings_of(
    name: str, *, time_attr: str = "epoch", grace_period: int = 1, **fields: Any
) -> Any:
    """Stand in for resolved settings: what `build_scheduler` reads of them."""
    section: dict[str, Any] = {}
    if name != "none":
        section = {"time_attr": time_attr, "grace_period": grace_period}
    if name in {"sha", "asha", "hyperband"}:
        section["reduction_factor"] = 3
    if name == "median":
        section["min_samples"] = 2
    if name == "plateau":
        section |= {"window": 2, "tolerance": 0.01}
    if name == "pbt":
        section = {"time_attr": time_attr, "perturbation_interval": 2, "quantile_fraction": 0.3}
    scheduler = SimpleNamespace(name=name, **section)
    train = SimpleNamespace(**{"epochs": MAX_TIME, "steps": None} | fields)
    tune = SimpleNamespace(scheduler=scheduler, mode="max")
    return SimpleNamespace(tune=tune, train=train, seed=11)


seeds = st.integers(0, 2**32)
counts = st.integers(1, 40)


def searched(name: str, num_trials: int, seed: int) -> Searched:
    curves = cut_short(random_curves(seed, num_trials, MAX_TIME), seed)
    return search(build_scheduler(settings_of(name), num_trials), curves, seed)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(num_trials=counts, seed=seeds)
def test_the_same_calls_give_the_same_verdicts(name: str, num_trials: int, seed: int) -> None:
    calls = searched(name, num_trials, seed).calls
    again = build_scheduler(settings_of(name), num_trials)
    assert [(arguments, call(again, arguments)) for arguments, _ in calls] == calls


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(num_trials=counts, seed=seeds)
def test_every_trial_comes_and_ends_once(name: str, num_trials: int, seed: int) -> None:
    found = searched(name, num_trials, seed)
    assert sorted(found.ends) == list(range(num_trials))
    ended = [verdict.trial for verdict in found.verdicts if verdict.action in ("stop", "finish")]
    assert len(ended) == len(set(ended))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(num_trials=counts, seed=seeds)
def test_calls_made_twice_and_late_ones_change_nothing(
    name: str, num_trials: int, seed: int
) -> None:
    again = build_scheduler(settings_of(name), num_trials)
    for arguments, answer in searched(name, num_trials, seed).calls:
        assert call(again, arguments) == answer
        assert call(again, arguments) == []
    for trial in range(num_trials):
        assert again.report(trial, MAX_TIME + 1, 0.5) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_verdict_can_be_told_in_one_sentence(name: str) -> None:
    texts = [verdict.text for verdict in searched(name, 40, 7).verdicts]
    assert bool(texts) == (name != "none")
    assert [text for text in texts if not text.endswith(".") or "\n" in text] == []


def test_without_a_scheduler_everything_runs_to_its_end() -> None:
    scheduler = build_scheduler(settings_of("none"), 2)
    assert [scheduler.num_wanted(count) for count in (0, 1, 2)] == [1, 1, 0]
    assert [scheduler.report(0, time, math.nan) for time in range(1, 10)] == [[]] * 9
    assert scheduler.pause_at(0) is None
    assert scheduler.leave(0) == []


@pytest.mark.parametrize(
    ("name", "given", "unit"),
    [
        ("none", {"epochs": 4}, "epoch"),
        ("none", {"epochs": None, "steps": 4}, "step"),
        ("asha", {"epochs": 4}, "epoch"),
        ("asha", {"time_attr": "step", "epochs": None, "steps": 4}, "step"),
    ],
)
def test_a_search_counts_time_as_its_scheduler_or_else_its_training_does(
    name: str, given: dict[str, Any], unit: str
) -> None:
    assert time_attr(settings_of(name, **given)) == unit


@pytest.mark.parametrize("name", ["sha", "asha", "hyperband"])
def test_time_is_counted_in_steps_where_the_settings_say_so(name: str) -> None:
    in_steps = settings_of(name, time_attr="step", epochs=None, steps=5)
    scheduler = build_scheduler(in_steps, 1)
    texts = [made.text for time in (1, 3) for made in scheduler.report(0, time, 0.5)]
    assert [text.split(" its ")[0] for text in texts] == ["At step 1", "At step 3"]


def test_settings_reach_the_median_rule() -> None:
    scheduler = build_scheduler(settings_of("median"), 3)
    found = [scheduler.report(trial, 1, value) for trial, value in enumerate([0.9, 0.8, 0.1])]
    assert [[made.action for made in verdicts] for verdicts in found] == [[], [], ["stop"]]


def test_settings_reach_the_plateau_rule() -> None:
    scheduler = build_scheduler(settings_of("plateau"), 1)
    found = [scheduler.report(0, time, value) for time, value in [(1, 0.5), (2, 0.504)]]
    assert [[made.action for made in verdicts] for verdicts in found] == [[], ["finish"]]


@pytest.mark.parametrize("name", ["sha", "asha", "hyperband", "median", "plateau"])
@pytest.mark.parametrize("grace_period", [2, 4])
def test_the_first_verdict_is_at_the_grace_period(name: str, grace_period: int) -> None:
    scheduler = build_scheduler(settings_of(name, grace_period=grace_period), 4)
    falling = [0.9, 0.8, 0.7, 0.1]
    verdicts = [
        verdict
        for time in range(1, grace_period + 1)
        for trial, value in enumerate(falling)
        for verdict in scheduler.report(trial, time, value)
    ]
    assert {verdict.time for verdict in verdicts} == {grace_period}


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_verdict_at_the_last_time(name: str) -> None:
    scheduler = build_scheduler(settings_of(name, grace_period=3, epochs=3), 4)
    falling = enumerate([0.9, 0.8, 0.7, 0.1])
    found = [scheduler.report(trial, time, value) for trial, value in falling for time in (1, 2, 3)]
    assert found == [[]] * 12


@pytest.mark.parametrize(
    ("time_attr", "given", "message"),
    [
        ("epoch", {"epochs": None, "steps": 100}, "counts epochs, and train.epochs is not given"),
        ("step", {"epochs": 9, "steps": None}, "counts steps, and train.steps is not given"),
    ],
)
def test_a_last_time_that_is_not_known_is_refused(
    time_attr: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_scheduler(settings_of("asha", time_attr=time_attr, **given), 4)


def test_a_late_report_of_a_trial_that_left_is_not_judged() -> None:
    scheduler = build_scheduler(settings_of("asha"), 1)
    scheduler.leave(0)
    assert scheduler.report(0, 1, 0.5) == []
