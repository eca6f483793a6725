"""Successive halving in its three forms: exact verdicts by hand, and what holds in any order."""

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.tune.halving import Asha, Halving, Rule, hyperband, sha
from distrain.tune.schedulers import OneByOne, Scheduler
from distrain.tune.verdicts import Verdict
from tests.simulated_search import by_trial, cut_short, random_curves, rising_curves, search

TO_20 = Rule(mode="max", max_time=20, grace_period=1, reduction_factor=4)


def rule(mode: str = "max", max_time: int = 9, grace_period: int = 1, factor: int = 3) -> Rule:
    return Rule("min" if mode == "min" else "max", max_time, grace_period, factor)


def reported(
    scheduler: Scheduler, time: int, values: Iterable[tuple[int, float]]
) -> list[list[Verdict]]:
    return [scheduler.report(trial, time, value) for trial, value in values]


def outcomes(verdicts: Iterable[Verdict]) -> list[tuple[int, str, int | None]]:
    return [(verdict.trial, verdict.action, verdict.rank) for verdict in verdicts]


@pytest.mark.parametrize(
    ("max_time", "grace_period", "factor", "rungs"),
    [
        (20, 1, 4, (1, 4, 16)),
        (16, 1, 4, (1, 4)),
        (81, 1, 3, (1, 3, 9, 27)),
        (20, 3, 2, (3, 6, 12)),
        (5, 5, 2, ()),
        (1, 1, 4, ()),
    ],
)
def test_rungs_are_below_the_last_time(
    max_time: int, grace_period: int, factor: int, rungs: tuple[int, ...]
) -> None:
    assert rule("max", max_time, grace_period, factor).rungs == rungs


def test_sha_decides_when_the_last_one_is_at_the_rung() -> None:
    scheduler = sha(rule(), num_trials=5)
    assert scheduler.num_wanted(0) == 5
    values = [(3, 0.3), (0, 0.5), (4, 0.4), (1, 0.9)]
    assert reported(scheduler, 1, values) == [[], [], [], []]
    (verdicts,) = reported(scheduler, 1, [(2, 0.1)])
    assert outcomes(verdicts) == [
        (1, "go_on", 1),
        (0, "go_on", 2),
        (4, "stop", 3),
        (3, "stop", 4),
        (2, "stop", 5),
    ]
    assert verdicts[2] == Verdict(
        trial=4,
        action="stop",
        time=1,
        value=0.4,
        rung=0,
        cut=0.5,
        rank=3,
        num_rivals=5,
        num_kept=2,
        text="At epoch 1 its 0.4 is rank 3 of 5; the best 2 go on, 0.9 (trial 1) to 0.5 (trial 0); "
        "it needed more than 0.5, 0.1 away, and is stopped.",
    )
    assert verdicts[0].text == (
        "At epoch 1 its 0.9 is rank 1 of 5; the best 2 go on, 0.9 (trial 1) to 0.5 (trial 0), "
        "and so does it."
    )


def test_a_trial_pauses_at_each_rung_and_runs_on_after_the_last() -> None:
    scheduler = sha(rule(), num_trials=2)
    assert [scheduler.pause_at(trial) for trial in (0, 1)] == [1, 1]
    reported(scheduler, 1, [(0, 0.1)])
    assert scheduler.pause_at(0) == 1
    reported(scheduler, 1, [(1, 0.2)])
    assert [scheduler.pause_at(trial) for trial in (0, 1)] == [None, 3]
    assert scheduler.report(1, 2, 0.3) == []
    (verdict,) = scheduler.report(1, 3, 0.4)
    assert (verdict.action, verdict.rung, verdict.cut) == ("go_on", 1, None)
    assert verdict.text == (
        "At epoch 3 its 0.4 is rank 1 of 1; so few are not compared, and it goes on."
    )
    assert scheduler.pause_at(1) is None
    assert scheduler.report(1, 9, 0.4) == []


def test_a_failure_can_complete_a_rung_and_the_absent_are_named() -> None:
    scheduler = sha(rule(), num_trials=4)
    reported(scheduler, 1, [(0, 0.1), (1, 0.2)])
    assert scheduler.leave(2) == []
    verdicts = scheduler.leave(3)
    assert outcomes(verdicts) == [(1, "go_on", 1), (0, "stop", 2)]
    assert verdicts[1].text == (
        "At epoch 1 its 0.1 is rank 2 of 2; only the best goes on, 0.2 (trial 1); it needed at "
        "least 0.2, 0.1 away, and is stopped (2 trials that ended before did not compete)."
    )


def test_a_finished_trial_competes_at_rungs_it_reached_and_no_more() -> None:
    scheduler = sha(rule(factor=2), num_trials=4)
    reported(scheduler, 1, [(0, 0.9), (1, 0.5), (2, 0.4)])
    assert scheduler.leave(0) == []
    (verdicts,) = reported(scheduler, 1, [(3, 0.3)])
    assert outcomes(verdicts) == [(1, "go_on", 2), (2, "stop", 3), (3, "stop", 4)]
    (verdict,) = scheduler.report(1, 2, 0.5)
    assert (verdict.rank, verdict.num_rivals) == (1, 1)
    assert "(1 trial that ended before did not compete)" in verdict.text


def test_values_reported_again_change_nothing() -> None:
    scheduler = sha(rule(), num_trials=2)
    assert scheduler.report(0, 1, 0.1) == []
    assert scheduler.report(0, 1, 0.9) == []
    assert outcomes(scheduler.report(1, 1, 0.2)) == [(1, "go_on", 1), (0, "stop", 2)]
    assert scheduler.report(1, 1, 0.2) == []
    assert scheduler.leave(0) == []
    assert scheduler.report(0, 3, 1.0) == []


def test_a_trial_that_passes_its_rung_is_a_fault_of_who_drives() -> None:
    scheduler = sha(rule(), num_trials=2)
    with pytest.raises(AssertionError, match="trial 0 pauses at 1, and came with 2"):
        scheduler.report(0, 2, 0.1)


@pytest.mark.parametrize(
    ("mode", "values", "kept"),
    [
        ("min", [0.3, 0.1, 0.2], [1]),
        ("max", [0.3, 0.1, 0.2], [0]),
        ("min", [0.1, 0.1, 0.1], [0]),
        ("max", [0.1, 0.2, 0.2], [1]),
        ("min", [math.nan, math.inf, math.nan], [1]),
        ("max", [math.nan, -math.inf, math.nan], [1]),
        ("max", [math.nan, math.nan, math.nan], [0]),
    ],
)
def test_nan_is_worst_and_of_equals_the_lower_number_is_better(
    mode: str, values: list[float], kept: list[int]
) -> None:
    scheduler = sha(rule(mode), num_trials=3)
    *_, verdicts = reported(scheduler, 1, enumerate(values))
    assert [verdict.trial for verdict in verdicts if verdict.action == "go_on"] == kept


@pytest.mark.parametrize(
    ("mode", "values", "trial", "text"),
    [
        ("max", [0.1, 0.2, 0.2], 0, "it needed at least 0.2, 0.1 away, and"),
        ("max", [0.1, 0.2, 0.2], 2, "it needed more than 0.2, and"),
        ("min", [0.3, 0.2, 0.1], 0, "it needed at most 0.1, 0.2 away, and"),
        ("min", [0.1, 0.2, 0.3], 2, "it needed less than 0.1, 0.2 away, and"),
        ("max", [math.nan, 0.2, 0.1], 0, "it needed at least 0.2, and"),
        ("max", [math.nan, math.nan, math.nan], 2, "it needed any number, and"),
    ],
)
def test_what_would_have_been_needed_is_exact(
    mode: str, values: list[float], trial: int, text: str
) -> None:
    scheduler = sha(rule(mode), num_trials=3)
    *_, verdicts = reported(scheduler, 1, enumerate(values))
    assert text in {verdict.trial: verdict.text for verdict in verdicts}[trial]


def test_asha_judges_each_as_it_comes() -> None:
    scheduler = OneByOne(6, Asha(rule(factor=2)))
    values = [(0, 0.5), (1, 0.4), (2, 0.6), (3, 0.55), (4, 0.7), (5, 0.5)]
    verdicts = [made for (made,) in reported(scheduler, 1, values)]
    assert outcomes(verdicts) == [
        (0, "go_on", 1),
        (1, "stop", 2),
        (2, "go_on", 1),
        (3, "go_on", 2),
        (4, "go_on", 1),
        (5, "stop", 5),
    ]
    assert [verdict.cut for verdict in verdicts] == [None, 0.5, 0.6, 0.55, 0.6, 0.55]
    assert [verdict.num_kept for verdict in verdicts] == [1, 1, 1, 2, 2, 3]
    assert verdicts[5].text == (
        "At epoch 1 its 0.5 is rank 5 of 6 so far; the best 3 go on, 0.7 (trial 4) to 0.55 "
        "(trial 3); it needed more than 0.55, 0.05 away, and is stopped."
    )


def test_asha_lets_all_go_on_until_there_are_as_many_as_the_factor() -> None:
    scheduler = OneByOne(4, Asha(TO_20))
    verdicts = [made for (made,) in reported(scheduler, 1, enumerate([0.4, 0.3, 0.2, 0.1]))]
    assert [verdict.action for verdict in verdicts] == ["go_on", "go_on", "go_on", "stop"]


def test_asha_says_nothing_between_rungs_nor_at_a_rung_again() -> None:
    scheduler = OneByOne(4, Asha(TO_20))
    found = [len(scheduler.report(0, time, 0.1)) for time in (1, 1, 2, 3, 4, 4, 1, 16, 20)]
    assert found == [1, 0, 0, 0, 1, 0, 0, 1, 0]
    assert scheduler.pause_at(0) is None


def test_hyperband_has_the_brackets_of_its_paper() -> None:
    scheduler = hyperband(rule("max", 81, 1, 3), num_trials=200)
    sizes, first_rungs, start = [], [], 0
    while wanted := scheduler.num_wanted(start):
        sizes.append(wanted)
        first_rungs.append(scheduler.pause_at(start))
        for trial in range(start, start + wanted):
            scheduler.leave(trial)
        start += wanted
    # Li et al. 2018, table 1; then from the beginning with what is left.
    assert sizes == [81, 34, 15, 8, 5, 57]
    assert first_rungs == [1, 3, 9, 27, None, 1]


def test_hyperband_waits_for_a_bracket_before_the_next() -> None:
    scheduler = hyperband(rule("max", 3, 1, 3), num_trials=5)
    assert scheduler.num_wanted(0) == 3
    assert scheduler.num_wanted(2) == 1
    *_, verdicts = reported(scheduler, 1, enumerate([0.1, 0.2, 0.3]))
    assert outcomes(verdicts) == [(2, "go_on", 1), (1, "stop", 2), (0, "stop", 3)]
    assert scheduler.num_wanted(3) == 0
    assert scheduler.leave(2) == []
    assert scheduler.num_wanted(3) == 2
    assert scheduler.num_wanted(5) == 0


def test_hyperband_waits_also_for_the_end_of_who_has_said_that_it_ends() -> None:
    scheduler = hyperband(rule("max", 3, 1, 3), num_trials=5)
    reported(scheduler, 1, [(0, 0.2), (1, 0.1)])
    verdicts = scheduler.report(2, 1, 0.3, is_end=True)
    assert outcomes(verdicts) == [(0, "stop", 2), (1, "stop", 3)]
    assert scheduler.pause_at(2) is None
    assert scheduler.num_wanted(3) == 0
    assert scheduler.leave(2) == []
    assert scheduler.num_wanted(3) == 2


def test_asha_compares_others_with_who_ends_and_lets_it_end() -> None:
    scheduler = OneByOne(2, Asha(rule(factor=2)))
    assert scheduler.report(0, 1, 0.5, is_end=True) == []
    (verdict,) = scheduler.report(1, 1, 0.4)
    assert (verdict.action, verdict.num_rivals) == ("stop", 2)


def test_trials_that_do_not_come_are_not_waited_for() -> None:
    scheduler = sha(rule(), num_trials=4)
    reported(scheduler, 1, [(0, 0.1), (1, 0.2)])
    assert scheduler.num_wanted(2) == 2
    assert [outcomes(scheduler.leave(trial)) for trial in (2, 3)] == [
        [],
        [(1, "go_on", 1), (0, "stop", 2)],
    ]


seeds = st.integers(0, 2**32)
counts = st.integers(1, 40)
factors = st.integers(2, 4)


@pytest.mark.parametrize("build", [sha, hyperband])
@settings(max_examples=40)
@given(num_trials=counts, factor=factors, seed=seeds, orders=st.tuples(seeds, seeds))
def test_any_order_of_reports_gives_the_same_verdicts(
    build: Callable[[Rule, int], Halving],
    num_trials: int,
    factor: int,
    seed: int,
    orders: tuple[int, int],
) -> None:
    curves = random_curves(seed, num_trials, 9)
    first, second = (
        search(build(rule(factor=factor), num_trials), curves, order) for order in orders
    )
    assert by_trial(first.verdicts) == by_trial(second.verdicts)
    assert first.times == second.times


@settings(max_examples=40)
@given(num_trials=counts, factor=factors, seed=seeds, orders=st.tuples(seeds, seeds))
def test_in_any_order_trials_that_end_by_themselves_leave_others_the_same_verdicts(
    num_trials: int, factor: int, seed: int, orders: tuple[int, int]
) -> None:
    curves = cut_short(random_curves(seed, num_trials, 9), seed)
    first, second = (
        search(sha(rule(factor=factor), num_trials), curves, order) for order in orders
    )
    # One that ends at a rung may have ended before the verdict, and gets none then.
    assert by_trial(made for made in first.verdicts if made.time < len(curves[made.trial])) == (
        by_trial(made for made in second.verdicts if made.time < len(curves[made.trial]))
    )
    assert first.times == second.times


@pytest.mark.parametrize("build", [sha, hyperband])
@settings(max_examples=40)
@given(num_trials=counts, factor=factors, seed=seeds, orders=st.tuples(seeds, seeds))
def test_in_any_order_there_is_no_verdict_on_a_trial_that_says_that_it_ends(
    build: Callable[[Rule, int], Halving],
    num_trials: int,
    factor: int,
    seed: int,
    orders: tuple[int, int],
) -> None:
    curves = cut_short(random_curves(seed, num_trials, 9), seed)
    first, second = (
        search(build(rule(factor=factor), num_trials), curves, order, tells_end=True)
        for order in orders
    )
    assert all(made.time < len(curves[made.trial]) for made in first.verdicts)
    assert by_trial(first.verdicts) == by_trial(second.verdicts)
    assert first.ends == second.ends


@settings(max_examples=40)
@given(num_trials=counts, factor=factors, seed=seeds)
def test_at_every_rung_as_many_go_on_as_should(num_trials: int, factor: int, seed: int) -> None:
    curves = random_curves(seed, num_trials, 9)
    verdicts = search(sha(rule(factor=factor), num_trials), curves, seed).verdicts
    num_expected = num_trials
    for time in rule(factor=factor).rungs:
        actions = [verdict.action for verdict in verdicts if verdict.time == time]
        assert len(actions) == num_expected
        num_expected = math.ceil(num_expected / factor)
        assert actions.count("go_on") == num_expected


@settings(max_examples=40)
@given(num_trials=counts, seed=seeds)
def test_asha_keeps_whom_its_rule_keeps(num_trials: int, seed: int) -> None:
    curves = random_curves(seed, num_trials, 9)
    verdicts = search(OneByOne(num_trials, Asha(rule(factor=3))), curves, seed).verdicts
    for time in rule(factor=3).rungs:
        at_rung = [verdict for verdict in verdicts if verdict.time == time]
        assert [verdict.num_rivals for verdict in at_rung] == list(range(1, len(at_rung) + 1))
        for number, verdict in enumerate(at_rung, 1):
            num_better = sum(is_better(other, verdict) for other in at_rung[:number])
            assert verdict.rank == num_better + 1
            assert (verdict.action == "go_on") == (number < 3 or 3 * (num_better + 1) <= number)


def is_better(verdict: Verdict, than: Verdict) -> bool:
    """Compare verdicts in mode max, in the plainest way."""
    mine, other = (
        (item.value is not None, item.value or 0.0, -item.trial) for item in (verdict, than)
    )
    return mine > other


@pytest.mark.parametrize("seed", range(20))
def test_sha_spends_the_epochs_that_arithmetic_says(seed: int) -> None:
    times = search(sha(TO_20, 64), rising_curves(seed, 64, 20), seed).times
    # All to epoch 1, 16 of them to 4, 4 to 16, 1 to 20: 164, of the 1,280 that all would take.
    assert sorted(times) == [1] * 48 + [4] * 12 + [16] * 3 + [20]


def test_asha_spends_less_than_a_quarter_on_average_where_trials_come_by_chance() -> None:
    # About 1 search in 30 spends more: those in which the best trials come last.
    epochs = [
        sum(search(OneByOne(64, Asha(TO_20)), rising_curves(seed, 64, 20), seed).times)
        for seed in range(20)
    ]
    assert 164 < sum(epochs) / len(epochs) < 64 * 20 / 4


def test_asha_stops_nobody_where_each_is_better_than_all_before() -> None:
    scheduler = OneByOne(8, Asha(TO_20))
    verdicts = [made for (made,) in reported(scheduler, 1, enumerate(range(8)))]
    assert {verdict.action for verdict in verdicts} == {"go_on"}
