"""Several seeds per setting: what proposes, what decides, and what wins."""

import contextlib
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.track.trials import AUDITS_FROM
from distrain.tune.budget import Budget
from distrain.tune.counterfactual import play
from distrain.tune.course import Afterwards, Course
from distrain.tune.halving import Asha, Rule, hyperband, sha
from distrain.tune.median import MedianRule
from distrain.tune.plan import SearchPlan
from distrain.tune.replay import replay
from distrain.tune.schedulers import OneByOne, Scheduler
from distrain.tune.search import Search
from distrain.tune.seeds import BySetting, SeededSampler
from distrain.tune.setting import mean_of, settings_told
from distrain.tune.told import Told
from tests.simulated_search import by_trial, call, cut_short, random_curves
from tests.simulated_search import search as schedule
from tests.simulated_trials import (
    METRIC,
    KilledError,
    MemoryLog,
    Numbered,
    Simulation,
    run_on_killed,
)

NUM_SETTINGS, NUM_SEEDS, EPOCHS = 8, 3, 8
NUM_TRIALS = NUM_SETTINGS * NUM_SEEDS
RULE = Rule(mode="min", max_time=EPOCHS, grace_period=1, reduction_factor=2)
SCHEDULERS = {
    "none": lambda: OneByOne(NUM_SETTINGS),
    "sha": lambda: sha(RULE, NUM_SETTINGS),
    "asha": lambda: OneByOne(NUM_SETTINGS, Asha(RULE)),
    "hyperband": lambda: hyperband(RULE, NUM_SETTINGS),
    "median": lambda: OneByOne(NUM_SETTINGS, MedianRule(mode="min", max_time=EPOCHS)),
}


def by_setting(name: str) -> Scheduler:
    return BySetting(SCHEDULERS[name](), NUM_SEEDS)


def curves_of(seed: int, fail: float = 0.0) -> dict[int, list[Any]]:
    chance = random.Random(seed)
    curves: dict[int, list[Any]] = {}
    for setting in range(NUM_SETTINGS):
        level = chance.random()
        for trial in range(setting * NUM_SEEDS, (setting + 1) * NUM_SEEDS):
            noise = chance.gauss(0, 0.5)
            curves[trial] = [round(level + noise + 1 / (time + 1), 3) for time in range(EPOCHS)]
            if chance.random() < fail:
                curves[trial][chance.randrange(EPOCHS)] = f"fault {trial}"
    return curves


def plan_of(name: str, **fields: Any) -> SearchPlan:
    sampler = SeededSampler(Numbered(), 7, NUM_SEEDS)
    made = {"sampler": sampler, "scheduler": by_setting(name), "num_seeds": NUM_SEEDS, **fields}
    return SearchPlan(num_trials=NUM_TRIALS, metric=METRIC, mode="min", **made)


def run_on(
    name: str,
    curves: dict[int, list[Any]],
    log: MemoryLog,
    seed: int = 0,
    slots: int = 3,
    **fields: Any,
) -> Search:
    search = Search(plan_of(name, **fields), log)
    replay(search, list(log.events))
    search.begin()
    Simulation(curves, slots, random.Random(seed)).run(search)
    return search


def decisions(log: MemoryLog) -> list[tuple[Any, ...]]:
    return sorted(
        (event["rung"], event["trial"], event["action"], event["cut"])
        for event in log.events
        if event["event"] == "decided"
    )


def means(curves: dict[int, list[Any]]) -> list[float]:
    return [
        mean_of([curves[setting * NUM_SEEDS + place][-1] for place in range(NUM_SEEDS)])
        for setting in range(NUM_SETTINGS)
    ]


def test_each_setting_is_tried_with_the_seeds_behind_the_configuration_s() -> None:
    log = MemoryLog()
    run_on("none", curves_of(1), log)

    suggested = [event for event in log.events if event["event"] == "suggested"]
    assert [event["assignment"] for event in suggested] == [
        {"x": setting, "seed": 7 + place}
        for setting in range(NUM_SETTINGS)
        for place in range(NUM_SEEDS)
    ]
    assert [event["setting"] for event in suggested] == [n // NUM_SEEDS for n in range(NUM_TRIALS)]


@pytest.mark.parametrize("count", [3, 6, 9])
def test_a_sampler_may_be_asked_for_any_number_of_settings(count: int) -> None:
    whole = SeededSampler(Numbered(), 7, NUM_SEEDS).ask(0, 12, [])
    history: list[Told] = []

    while len(history) < 12:
        sampler = SeededSampler(Numbered(), 7, NUM_SEEDS)
        for assignment in sampler.ask(len(history), count, history):
            history.append(Told(len(history), assignment, (), None, "running"))

    assert [told.assignment for told in history[:12]] == whole


def test_a_sampler_is_told_the_mean_over_whole_trials() -> None:
    def told(trial: int, state: Any, *values: float) -> Told:
        final = values[-1] if state == "finished" else None
        seed = {"x": trial // 3, "seed": trial}
        return Told(trial, seed, list(enumerate(values, 1)), final, state)

    history = [
        told(0, "finished", 1.0, 0.5), told(1, "finished", 3.0, 0.7), told(2, "failed", 9.0),
        told(3, "stopped", 1.0, 2.0), told(4, "stopped", 2.0), told(5, "stopped", 3.0, 4.0),
        told(6, "failed"), told(7, "failed"), told(8, "failed"),
        told(9, "finished", 1.0), told(10, "running"),
    ]  # fmt: skip

    assert settings_told(history, 3) == [
        Told(0, {"x": 0}, [(1, 2.0), (2, 0.6)], 0.6, "finished"),
        Told(1, {"x": 1}, [(1, 2.0)], None, "stopped"),
        Told(2, {"x": 2}, [], None, "failed"),
        Told(3, {"x": 3}, [], 1.0, "running"),
    ]


def test_what_was_told_of_a_setting_that_is_over_is_told_again() -> None:
    class Listening:
        def __init__(self) -> None:
            self.told: list[Sequence[Told]] = []

        def ask(self, number: int, count: int, history: Sequence[Told]) -> list[dict[str, Any]]:
            self.told.append(history)
            return [{"x": setting} for setting in range(number, number + count)]

    listening = Listening()
    sampler = SeededSampler(listening, 7, 2)
    seeds = [{"x": setting, "seed": seed} for setting in range(3) for seed in (7, 8)]
    history = [Told(n, seeds[n], [(1, 0.5)], 0.5, "finished") for n in range(2)]
    history += [Told(n, seeds[n], [(1, 0.5)], None, "running") for n in (2, 3)]

    sampler.ask(4, 2, history)
    history[3] = Told(3, seeds[3], [(1, 0.5), (2, 0.3)], 0.3, "finished")
    history += [Told(n, seeds[n], (), None, "running") for n in (4, 5)]
    sampler.ask(6, 2, history)

    before, after = listening.told
    assert after == settings_told(history, 2)
    assert after[0] is before[0]
    assert after[1].assignment is before[1].assignment
    assert (before[1].final, after[1].final) == (None, 0.3)


def test_the_setting_with_the_best_mean_wins_and_not_the_luckiest_trial() -> None:
    curves = curves_of(1)
    search = run_on("none", curves, MemoryLog())

    best_mean = min(means(curves))
    luckiest = min(range(NUM_TRIALS), key=lambda trial: curves[trial][-1])
    assert search.best is not None
    assert search.best.number == means(curves).index(best_mean) * NUM_SEEDS
    assert search.best_value == best_mean
    assert luckiest // NUM_SEEDS != search.best.number // NUM_SEEDS, "else nothing is shown"


def test_a_setting_of_which_a_seed_fails_is_behind_whole_ones() -> None:
    curves = curves_of(1)
    best = means(curves).index(min(means(curves)))
    curves[best * NUM_SEEDS + 1] = ["it broke"] * EPOCHS

    search = run_on("none", curves, MemoryLog())

    others = [mean for setting, mean in enumerate(means(curves_of(1))) if setting != best]
    assert search.best_value == min(others)


def test_where_no_setting_is_whole_the_one_with_most_seeds_wins() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    curves: dict[int, list[Any]] = {n: [f"no {letters[n]}"] * EPOCHS for n in range(NUM_TRIALS)}
    curves |= {n: [0.5] * EPOCHS for n in (4, 7, 8)}

    search = run_on("none", curves, MemoryLog())

    # Its first seed failed; the second is the first that has a model.
    assert search.best is not None
    assert search.best.number == 7


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_trials_of_a_setting_share_its_fate(name: str) -> None:
    search = run_on(name, curves_of(2), MemoryLog())

    for setting in range(NUM_SETTINGS):
        trials = search.trials[setting * NUM_SEEDS : (setting + 1) * NUM_SEEDS]
        assert len({trial.outcome for trial in trials}) == 1


def test_halving_compares_settings_by_their_means() -> None:
    curves = curves_of(2)
    log = MemoryLog()
    search = run_on("sha", curves, log)

    first = [
        mean_of([curves[setting * NUM_SEEDS + place][0] for place in range(NUM_SEEDS)])
        for setting in range(NUM_SETTINGS)
    ]
    kept = sorted(range(NUM_SETTINGS), key=lambda setting: (first[setting], setting))[:4]
    went_on = {e["trial"] // NUM_SEEDS for e in log.events if e["event"] == "decided"
               and e["rung"] == 0 and e["action"] == "go_on"}  # fmt: skip
    assert went_on == set(kept)
    assert search.epochs_spent == NUM_SEEDS * (8 + 4 * 1 + 2 * 2 + 1 * 4)
    text = next(event["text"] for event in log.events if event["event"] == "decided")
    assert text.startswith("Setting ")
    assert "by the mean over 3 seeds: At epoch 1 its" in text
    assert "trial" not in text


@given(slots=st.integers(1, 24), seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None)
def test_synchronous_halving_decides_alike_on_any_number_of_slots(slots: int, seed: int) -> None:
    curves = curves_of(3, fail=0.1)
    log, other_log = MemoryLog(), MemoryLog()
    one = run_on("sha", curves, log, slots=1)

    other = run_on("sha", curves, other_log, seed=seed, slots=slots)

    assert decisions(other_log) == decisions(log)
    assert (other.best and other.best.number) == (one.best and one.best.number)
    assert repr(other.best_value) == repr(one.best_value)


@given(
    name=st.sampled_from(sorted(SCHEDULERS)),
    kills=st.lists(st.integers(1, 80), min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=50, deadline=None)
def test_a_killed_driver_repeats_no_trial_and_a_synchronous_search_decides_alike(
    name: str, kills: list[int], seed: int
) -> None:
    curves = curves_of(seed, fail=0.05)
    straight_log, log = MemoryLog(), MemoryLog()
    straight = run_on(name, curves, straight_log)

    search = run_on_killed(log, kills, lambda room: run_on(name, curves, log, seed + room))

    ended = [event["trial"] for event in log.events if event["event"] == "ended"]
    assert sorted(ended) == list(range(NUM_TRIALS))
    assert name != "sha" or decisions(log) == decisions(straight_log)
    assert name != "sha" or repr(search.best_value) == repr(straight.best_value)


@pytest.mark.parametrize("name", SCHEDULERS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_scheduler_keeps_its_promises(name: str, seed: int) -> None:
    """Every trial ends once; calls made twice change nothing; the same calls, the same verdicts."""
    curves = cut_short(random_curves(seed, NUM_TRIALS, EPOCHS), seed)
    found, again = schedule(by_setting(name), curves, seed), by_setting(name)

    assert sorted(found.ends) == list(range(NUM_TRIALS))
    for arguments, answer in found.calls:
        assert call(again, arguments) == answer
        assert call(again, arguments) == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.integers(0, 10_000))
def test_the_order_in_which_trials_come_changes_no_verdict_of_halving(
    seed: int, order: int
) -> None:
    curves = cut_short(random_curves(seed, NUM_TRIALS, EPOCHS), seed)

    one, other = (schedule(by_setting("sha"), curves, chance) for chance in (0, order))

    # One that ends at a rung may have ended before the verdict, and gets none then.
    first, second = (
        by_trial(made for made in found.verdicts if made.time < len(curves[made.trial]))
        for found in (one, other)
    )
    assert first == second
    assert one.times == other.times


@pytest.mark.parametrize("name", ["sha", "hyperband"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.integers(0, 10_000))
def test_in_any_order_there_is_no_verdict_on_a_trial_that_says_that_it_ends(
    name: str, seed: int, order: int
) -> None:
    curves = cut_short(random_curves(seed, NUM_TRIALS, EPOCHS), seed)

    one, other = (
        schedule(by_setting(name), curves, chance, tells_end=True) for chance in (0, order)
    )

    assert all(made.time < len(curves[made.trial]) for made in one.verdicts)
    assert by_trial(one.verdicts) == by_trial(other.verdicts)
    assert one.ends == other.ends


def test_a_batch_is_not_asked_for_before_who_has_said_that_it_ends_has_ended() -> None:
    scheduler = BySetting(hyperband(Rule("max", 3, 1, 3), 5), 2)
    values = [(0, 0.1), (1, 0.1), (2, 0.2), (3, 0.2), (4, 0.9)]
    assert [scheduler.report(trial, 1, value) for trial, value in values] == [[]] * 5
    verdicts = scheduler.report(5, 1, 0.9, is_end=True)
    assert [(made.trial, made.action) for made in verdicts] == [
        (4, "go_on"),
        (2, "stop"),
        (3, "stop"),
        (0, "stop"),
        (1, "stop"),
    ]
    assert scheduler.leave(4) == []
    assert scheduler.num_wanted(6) == 0
    assert scheduler.leave(5) == []
    assert scheduler.num_wanted(6) == 4


def test_a_budget_ends_settings_and_the_most_whole_one_wins() -> None:
    curves: dict[int, list[Any]] = {trial: [1.0] * EPOCHS for trial in range(NUM_TRIALS)}
    curves[3] = curves[4] = [0.1] * EPOCHS
    budget = Budget(epochs=4 * EPOCHS + 4)

    search = run_on("none", curves, MemoryLog(), slots=1, budget=budget)

    assert {trial.state for trial in search.trials} == {"ended"}
    # The second setting is better by two of its seeds; the third one was not tried.
    assert [trial.is_whole for trial in search.trials] == [*5 * [True], False]
    assert search.best is not None
    assert search.best.number == 0


def test_models_of_an_open_setting_are_kept() -> None:
    search = Search(plan_of("none"), MemoryLog())
    search.begin()
    for number in range(2):
        assert search.next_work() is not None
        search.ended(number, "finished", step=1, epoch=1, metrics={METRIC: 0.5 - number / 10})

    assert [search.may_win(trial) for trial in search.trials] == [True, True, False]
    search.next_work()
    search.ended(2, "finished", step=1, epoch=1, metrics={METRIC: 0.1})
    assert [search.may_win(trial) for trial in search.trials[:3]] == [True, False, False]


def test_confirmation_goes_on_behind_the_seeds_that_were_tried() -> None:
    log = MemoryLog()
    course = Course(Search(plan_of("none"), log), log, Afterwards(7, 2, 0.0, NUM_SEEDS))
    course.begin()
    curves: Any = _Endless(curves_of(1))
    Simulation(curves, 3, random.Random(0)).run(course)

    assert course.confirmed is not None
    assert list(course.confirmed.values) == [10, 11]


def test_settings_are_audited_whole_and_by_their_means() -> None:
    curves: Any = _Endless(curves_of(2))
    log = MemoryLog()
    course = Course(Search(plan_of("sha"), log), log, Afterwards(7, 0, 1.0, NUM_SEEDS))
    course.begin()
    Simulation(curves, 3, random.Random(0)).run(course)

    audited = course.audited
    assert audited is not None
    assert (audited.num_stopped, audited.num_audited) == (7, 7)
    value = course.search.best_value
    assert audited.num_wrong == sum(mean < value for mean in means(curves))
    assert audited.best is not None
    assert audited.best[0] % NUM_SEEDS == 0


def audit_on(
    name: str, curves: Any, log: MemoryLog, seed: int, saved: dict[int, int] | None = None
) -> Course:
    course = Course(Search(plan_of(name), log), log, Afterwards(7, 0, 1.0, NUM_SEEDS))
    course.replay(list(log.events))
    course.begin()
    Simulation(curves, 5, random.Random(seed), {} if saved is None else saved).run(course)
    return course


def audited_times(course: Course, log: MemoryLog) -> list[list[int]]:
    """Return at which times each stopped trial has reported, its audit with it."""
    stopped = {trial.number for trial in course.search.trials if trial.outcome == "stopped"}
    times: dict[int, list[int]] = {number: [] for number in stopped}
    for event in log.events:
        if event["event"] == "reported" and event["trial"] % AUDITS_FROM in stopped:
            times[event["trial"] % AUDITS_FROM].append(event["time"])
    return list(times.values())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["asha", "median", "sha"])
def test_a_seed_that_was_ahead_when_its_setting_was_stopped_is_audited_without_a_gap(
    name: str, seed: int
) -> None:
    log = MemoryLog()

    course = audit_on(name, _Endless(curves_of(2)), log, seed)

    times = audited_times(course, log)
    assert times
    assert times == [list(range(1, EPOCHS + 1))] * len(times)
    assert course.audited is not None
    assert course.audited.epochs == sum(
        EPOCHS - trial.epoch for trial in course.search.trials if trial.outcome == "stopped"
    )
    assert course.notes == []


@given(
    name=st.sampled_from(["asha", "median"]),
    kills=st.lists(st.integers(1, 80), min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=30, deadline=None)
def test_an_audited_curve_has_no_gap_wherever_drivers_were_killed(
    name: str, kills: list[int], seed: int
) -> None:
    curves, log, saved = _Endless(curves_of(seed)), MemoryLog(), dict[int, int]()
    for room in itertools.accumulate(kills):
        log.room = room
        with contextlib.suppress(KilledError):
            audit_on(name, curves, log, seed + room, saved)
    log.room = None

    course = audit_on(name, curves, log, seed, saved)

    times = audited_times(course, log)
    assert times == [list(range(1, EPOCHS + 1))] * len(times)
    assert course.notes == []


class _Endless(dict[int, list[Any]]):
    """Curves of what comes after a search: those of the trial that it is of."""

    def __missing__(self, number: int) -> list[Any]:
        return self[number - 1_000_000] if number < 2_000_000 else [0.5] * EPOCHS


def test_replay_finds_the_setting_that_won() -> None:
    curves, log = curves_of(2), MemoryLog()
    search = run_on("sha", curves, log)

    played = play(log.events, METRIC, "min", by_setting("sha"), NUM_SEEDS)

    assert search.best is not None
    assert played.best == (search.best.number, search.best_value)
    assert played.epochs == search.epochs_spent


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
def test_a_mean_of_what_is_no_number_is_none(odd: float) -> None:
    assert not math.isfinite(mean_of([1.0, odd]))
    assert math.isnan(mean_of([math.inf, -math.inf]))
