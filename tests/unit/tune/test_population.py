"""Population-based training: who takes over from whom, by complete rungs, in any order."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.tune.population import Population, PopulationRule
from distrain.tune.verdicts import Verdict
from tests.simulated_search import by_trial, cut_short, random_curves, search

MAX_TIME = 9


def rule_of(seed: int = 0, interval: int = 2, fraction: float = 0.25) -> PopulationRule:
    return PopulationRule(
        mode="max", max_time=MAX_TIME, interval=interval, quantile_fraction=fraction, seed=seed
    )


def at_rung(scheduler: Population, time: int, values: dict[int, float]) -> list[Verdict]:
    """Return what is decided when trials report at a rung and save their states there."""
    made = [one for trial, value in values.items() for one in scheduler.report(trial, time, value)]
    return made + [one for trial in values for one in scheduler.saved(trial)]


@settings(max_examples=40)
@given(
    num=st.integers(1, 20),
    seed=st.integers(0, 10_000),
    orders=st.tuples(st.integers(), st.integers()),
    slots=st.integers(1, 20),
)
def test_verdicts_do_not_depend_on_the_order(
    num: int, seed: int, orders: tuple[int, int], slots: int
) -> None:
    curves = cut_short(random_curves(seed, num, MAX_TIME), seed)
    one = search(Population(rule_of(), num), curves, orders[0])

    other = search(Population(rule_of(), num), curves, orders[1], num_slots=slots)

    assert by_trial(one.verdicts) == by_trial(other.verdicts)


def test_the_last_part_takes_over_from_the_best_part() -> None:
    scheduler = Population(rule_of(seed=3), 8)

    verdicts = at_rung(scheduler, 2, {trial: float(trial) for trial in range(8)})

    assert {one.trial for one in verdicts if one.action == "copy"} == {0, 1}
    assert {one.source for one in verdicts if one.action == "copy"} <= {6, 7}
    assert {one.action for one in verdicts if one.trial >= 2} == {"go_on"}
    assert {one.cut for one in verdicts} == {2.0}


def test_nothing_is_decided_before_the_last_state_is_saved() -> None:
    scheduler = Population(rule_of(), 3)
    for trial in range(3):
        assert scheduler.report(trial, 2, 0.5) == []
    assert scheduler.saved(0) == []
    assert scheduler.saved(1) == []
    assert [scheduler.pause_at(trial) for trial in range(3)] == [2, 2, 2]

    verdicts = scheduler.saved(2)

    assert len(verdicts) == 3
    assert [scheduler.pause_at(trial) for trial in range(3)] == [4, 4, 4]


def test_a_state_that_was_saved_before_the_rung_counts_for_nothing() -> None:
    scheduler = Population(rule_of(), 2)
    at_rung(scheduler, 1, {0: 0.1, 1: 0.2})
    scheduler.report(0, 2, 0.1)
    scheduler.report(1, 2, 0.2)

    assert scheduler.saved(0) == []
    assert len(scheduler.saved(1)) == 2


@pytest.mark.parametrize("leaves_first", [True, False])
def test_who_ends_at_a_rung_is_not_compared_there(leaves_first: bool) -> None:
    scheduler = Population(rule_of(fraction=0.5), 3)
    made = scheduler.leave(2) if leaves_first else []
    made = made + at_rung(scheduler, 2, {0: 0.1, 1: 0.2})
    scheduler.report(2, 2, 0.9)
    made = made + scheduler.leave(2)

    assert [(one.trial, one.action, one.source) for one in made] == [
        (1, "go_on", None),
        (0, "copy", 1),
    ]
    assert "1 of 3 trials had ended before" in made[0].text


def test_who_says_that_it_ends_is_awaited_no_more() -> None:
    scheduler = Population(rule_of(fraction=0.5), 3)
    at_rung(scheduler, 2, {0: 0.1, 1: 0.2})

    made = scheduler.report(2, 2, 0.9, is_end=True)

    assert [(one.trial, one.action) for one in made] == [(1, "go_on"), (0, "copy")]
    assert scheduler.pause_at(2) is None
    assert scheduler.leave(2) == []


def test_a_trial_that_is_left_alone_goes_on() -> None:
    scheduler = Population(rule_of(), 2)
    scheduler.leave(0)

    (verdict,) = at_rung(scheduler, 2, {1: math.nan})

    assert (verdict.action, verdict.value, verdict.cut) == ("go_on", None, None)
    assert verdict.text == (
        "At epoch 2 its nan is rank 1 of 1 (1 of 2 trials had ended before); there is no other, "
        "and it goes on as it is."
    )


def test_whom_a_trial_takes_over_from_is_drawn_by_seed_trial_and_rung() -> None:
    def sources(seed: int) -> list[int | None]:
        scheduler = Population(rule_of(seed=seed, fraction=0.5), 40)
        values = {trial: float(trial) for trial in range(40)}
        made = at_rung(scheduler, 2, values) + at_rung(scheduler, 4, values)
        return [one.source for one in made if one.action == "copy"]

    first = sources(1)
    assert sources(1) == first
    assert sources(2) != first
    assert first[:20] != first[20:]
    assert len(set(first[:20])) > 5


def test_there_is_no_rung_at_the_end() -> None:
    assert rule_of(interval=3).rungs == (3, 6)
    assert rule_of(interval=4).rungs == (4, 8)


def test_the_sentence_says_from_whom() -> None:
    scheduler = Population(rule_of(), 4)

    verdicts = at_rung(scheduler, 2, {0: 0.5, 1: 0.25, 2: 1.0, 3: 0.75})

    texts = {one.trial: one.text for one in verdicts}
    assert texts[1] == (
        "At epoch 2 its 0.25 is rank 4 of 4; it is the last, and takes over from trial 2, of rank "
        "1."
    )
    assert texts[3] == (
        "At epoch 2 its 0.75 is rank 2 of 4; the last of them takes over from the best, and it "
        "goes on."
    )


@given(seed=st.integers(0, 1000), num=st.integers(2, 30), fraction=st.floats(0.01, 0.5))
@settings(max_examples=40)
def test_nobody_takes_over_from_who_takes_over(seed: int, num: int, fraction: float) -> None:
    chance = random.Random(seed)
    scheduler = Population(rule_of(seed, fraction=fraction), num)

    verdicts = at_rung(scheduler, 2, {trial: chance.random() for trial in range(num)})

    taking = {one.trial for one in verdicts if one.action == "copy"}
    assert taking
    assert not taking & {one.source for one in verdicts}
