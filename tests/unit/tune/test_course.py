"""A search with what comes after it: the winner's other seeds, the audit, and any crash."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.errors import TrainError
from distrain.track.trials import AUDITS_FROM, confirming_trial, kind_of, label
from distrain.tune.budget import Budget
from distrain.tune.counterfactual import play, with_audit
from distrain.tune.course import Afterwards, Course
from distrain.tune.halving import Asha, Rule, hyperband, sha
from distrain.tune.median import MedianRule
from distrain.tune.plan import SearchPlan
from distrain.tune.schedulers import OneByOne
from distrain.tune.search import Search
from distrain.tune.trials import Report, Work
from tests.simulated_trials import (
    METRIC,
    KilledError,
    MemoryLog,
    Numbered,
    Simulation,
    run_on_killed,
)

NUM_TRIALS = 16
EPOCHS = 8
RULE = Rule(mode="min", max_time=EPOCHS, grace_period=1, reduction_factor=2)
SCHEDULERS = {
    "sha": lambda num: sha(RULE, num),
    "asha": lambda num: OneByOne(num, Asha(RULE)),
    "hyperband": lambda num: hyperband(RULE, num),
    "median": lambda num: OneByOne(num, MedianRule(mode="min", max_time=EPOCHS)),
}
BOTH = Afterwards(seed=5, confirm=3, audit_fraction=0.5)
ALL = Afterwards(seed=5, confirm=0, audit_fraction=1.0)


class Curves(dict[int, list[Any]]):
    """Curves by the trial's number in the log: an audited one goes on in its own."""

    def __missing__(self, number: int) -> list[Any]:
        kind, trial, place = kind_of(number)
        if kind == "audit":
            return self[trial]
        return [value + 0.01 * (place + 1) for value in self[trial]]


def curves_of(seed: int, fail: float = 0.0) -> Curves:
    chance = random.Random(seed)
    curves = Curves()
    for trial in range(NUM_TRIALS):
        level = chance.random()
        curves[trial] = [
            round(level + 1 / (time + 1) + chance.random(), 3) for time in range(EPOCHS)
        ]
        if chance.random() < fail:
            curves[trial][chance.randrange(EPOCHS)] = f"fault {trial}"
    return curves


def plan_of(name: str = "sha", num: int = NUM_TRIALS, **fields: Any) -> SearchPlan:
    made = {"sampler": Numbered(), "scheduler": SCHEDULERS[name](num), **fields}
    return SearchPlan(num_trials=num, metric=METRIC, mode="min", **made)


def run_on(
    plan: SearchPlan,
    curves: Curves,
    log: MemoryLog,
    afterwards: Afterwards,
    seed: int = 0,
    slots: int = 3,
) -> Course:
    course = Course(Search(plan, log), log, afterwards)
    course.replay(list(log.events))
    course.begin()
    Simulation(curves, slots, random.Random(seed)).run(course)
    return course


def ran(
    name: str, curves: Curves, afterwards: Afterwards, seed: int = 0, **fields: Any
) -> tuple[Course, MemoryLog]:
    log = MemoryLog()
    return run_on(plan_of(name, **fields), curves, log, afterwards, seed), log


def own_events(log: MemoryLog) -> list[dict[str, Any]]:
    """Return the search's own events, but for who ran when."""
    return [event for event in log.events if kind_of(event.get("trial", -1))[0] == "trial"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_search_is_the_same_with_and_without_what_comes_after(name: str) -> None:
    curves = curves_of(1)

    without, log = ran(name, curves, Afterwards(), seed=3)
    with_all, log_of_all = ran(name, curves, BOTH, seed=3)

    assert own_events(log_of_all) == log.events
    assert with_all.search.epochs_spent == without.search.epochs_spent
    assert with_all.search.best is not None
    assert without.search.best is not None
    assert with_all.search.best.number == without.search.best.number


def test_the_winner_is_tried_with_the_seeds_behind_its_own() -> None:
    course, log = ran("sha", curves_of(1), BOTH)

    best = course.search.best
    assert best is not None
    suggested = [
        (event["trial"], event["assignment"])
        for event in log.events
        if event["event"] == "suggested" and kind_of(event["trial"])[0] == "confirm"
    ]
    assert suggested == [
        (confirming_trial(best.number, place), {"x": best.number, "seed": 6 + place})
        for place in range(3)
    ]


def test_a_seed_that_varies_is_counted_on_from_the_winners_own() -> None:
    class Seeded(Numbered):
        def ask(self, number: int, count: int, history: Any) -> list[dict[str, Any]]:
            return [{"seed": 100} for _ in super().ask(number, count, history)]

    course, _ = ran("sha", curves_of(1), BOTH, sampler=Seeded())

    assert course.confirmed is not None
    assert list(course.confirmed.values) == [101, 102, 103]


def test_the_mean_is_over_the_other_seeds_alone() -> None:
    curves = curves_of(1)
    course, _ = ran("sha", curves, BOTH)

    best, confirmed = course.search.best, course.confirmed
    assert best is not None
    assert confirmed is not None
    own = best.metrics[METRIC]
    assert list(confirmed.values.values()) == pytest.approx([own + 0.01, own + 0.02, own + 0.03])
    assert confirmed.mean == pytest.approx(own + 0.02)
    assert confirmed.std == pytest.approx(0.01)
    assert confirmed.epochs == 3 * EPOCHS


def test_other_seeds_that_fail_are_counted_and_end_nothing() -> None:
    curves = curves_of(1)
    straight, _ = ran("sha", curves, BOTH)
    assert straight.search.best is not None
    curves[confirming_trial(straight.search.best.number, 1)] = ["it broke"] * EPOCHS

    course, _ = ran("sha", curves, BOTH)

    assert course.confirmed is not None
    assert (len(course.confirmed.values), course.confirmed.num_failed) == (2, 1)
    assert course.search.cause is None


@pytest.mark.parametrize("name", SCHEDULERS)
def test_an_audited_trial_goes_on_behind_its_stop_and_ends(name: str) -> None:
    course, log = ran(name, curves_of(1), ALL)

    for trial in course.search.trials:
        reports = [e["time"] for e in log.events if e["event"] == "reported"
                   and e["trial"] == AUDITS_FROM + trial.number]  # fmt: skip
        if trial.outcome == "stopped":
            assert reports == list(range(trial.time + 1, EPOCHS + 1))
            assert course.trial(AUDITS_FROM + trial.number).outcome == "finished"
        else:
            assert reports == []


def test_the_audit_counts_its_own_epochs() -> None:
    course, _ = ran("sha", curves_of(1), ALL)

    # 16 trials to epoch 1, 8 to 2, 4 to 4, 2 to the end at 8; what was stopped goes on to 8.
    assert course.search.epochs_spent == 16 + 8 * 1 + 4 * 2 + 2 * 4
    assert course.audited is not None
    assert course.audited.epochs == 8 * 7 + 4 * 6 + 2 * 4


def test_wrong_stops_are_those_of_trials_that_come_out_better_than_the_winner() -> None:
    curves = curves_of(1)
    course, _ = ran("sha", curves, ALL)

    best, audited = course.search.best, course.audited
    assert best is not None
    assert audited is not None
    finals = {t.number: curves[t.number][-1] for t in course.search.trials if t is not best}
    stopped = {t.number for t in course.search.trials if t.outcome == "stopped"}
    better = [n for n in stopped if finals[n] < best.metrics[METRIC]]
    assert better, "the curves are such that halving errs"
    assert audited.num_wrong == len(better)
    assert (audited.num_stopped, audited.num_audited) == (14, 14)
    gains = sum(best.metrics[METRIC] - finals[n] for n in better)
    assert audited.regret == pytest.approx(gains / 14)
    assert audited.best == min(
        ((n, finals[n]) for n in stopped), key=lambda pair: (pair[1], pair[0])
    )
    assert course.search.best is best


def test_a_share_of_the_stops_is_drawn_by_the_seed() -> None:
    drawn = []
    for seed in (5, 5, 6):
        afterwards = Afterwards(seed, 0, 0.3)
        course, _ = ran("sha", curves_of(1), afterwards, seed=seed)
        drawn.append({t.number for t in course.search.trials if afterwards.audits(t)})

    assert drawn[0] == drawn[1] != drawn[2]
    assert 0 < len(drawn[0]) < 14


def test_what_was_stopped_by_the_budget_is_not_audited() -> None:
    course, log = ran("sha", curves_of(1), ALL, budget=Budget(epochs=20))

    decided = {e["trial"] for e in log.events if e["event"] == "decided" and e["action"] == "stop"}
    audited = {e["trial"] - AUDITS_FROM for e in log.events if e["event"] == "ended"
               and kind_of(e["trial"])[0] == "audit"}  # fmt: skip
    assert audited == decided
    assert course.search.best is not None


@pytest.mark.parametrize("make", [sha, hyperband])
def test_a_spent_budget_ends_what_is_paused_on_one_slot_too(make: Any) -> None:
    rule = Rule(mode="min", max_time=EPOCHS, grace_period=2, reduction_factor=2)
    for budget in range(1, 4 * EPOCHS + 1):
        plan = plan_of(num=4, scheduler=make(rule, 4), budget=Budget(epochs=budget))

        course = run_on(plan, curves_of(1), MemoryLog(), BOTH, slots=1)

        assert {trial.state for trial in course.search.trials} == {"ended"}
        assert course.confirmed is not None
        assert course.audited is not None


def test_an_audit_that_has_not_begun_is_none() -> None:
    course = Course(Search(plan_of("asha", 2), MemoryLog()), MemoryLog(), ALL)
    course.begin()
    course.next_work()
    for time in range(1, EPOCHS + 1):
        course.reported(0, Report(time, time, 10 * time, {METRIC: 0.1}))
    course.ended(0, "finished", step=80, epoch=8, metrics={METRIC: 0.1}, train_s=1.0)
    course.interrupt()

    assert course.search.best is not None
    assert course.audited is None


def test_a_trial_that_runs_while_it_is_stopped_saves_its_state_for_the_audit() -> None:
    course = Course(Search(plan_of("asha", 8), MemoryLog()), MemoryLog(), ALL)
    course.begin()
    for number in (0, 1):
        assert course.next_work() is not None
        reply = course.reported(number, Report(1, 1, 10, {METRIC: float(number)}))

    assert reply == "pause"
    assert course.search.trials[1].outcome == "stopped"
    assert course.is_kept(1)


def test_nothing_comes_after_before_all_actors_let_go() -> None:
    log = MemoryLog()
    course = Course(Search(plan_of("asha", 2), log), log, ALL)
    course.begin()
    assert [course.next_work() is not None for _ in range(2)] == [True, True]
    for time in range(1, EPOCHS + 1):
        course.reported(0, Report(time, time, 10 * time, {METRIC: 0.1}))
    course.ended(0, "finished", step=80, epoch=8, metrics={METRIC: 0.1}, train_s=1.0)
    assert course.reported(1, Report(1, 1, 10, {METRIC: 0.5})) == "pause"

    assert course.search.is_over
    assert not course.is_over
    assert course.next_work() is None

    course.paused(1, 10, 0.1)

    work = course.next_work()
    assert work is not None
    assert (work.trial, work.attempt, work.until) == (AUDITS_FROM + 1, 2, None)


def test_what_comes_after_spends_nothing_of_the_budget() -> None:
    seconds = itertools.count()
    log, curves = MemoryLog(), curves_of(1)
    plan = plan_of("sha", budget=Budget(wall_s=1e9, epochs=40))
    course = Course(Search(plan, log, lambda: float(next(seconds))), log, BOTH)
    course.begin()
    Simulation(curves, 3, random.Random(0)).run(course)

    assert course.search.epochs_spent == 40
    assert course.confirmed is not None
    assert course.confirmed.epochs == 3 * EPOCHS
    assert course.wall_s < course.search.wall_s


def test_failures_of_one_cause_end_the_audit_alone() -> None:
    curves = curves_of(1)
    for trial in range(NUM_TRIALS):
        curves[AUDITS_FROM + trial] = ["the data is gone"] * EPOCHS

    course, _ = ran("sha", curves, ALL)

    assert course.is_over
    assert course.search.cause is None
    assert course.audited is not None
    assert course.audited.num_audited == 0
    assert 10 <= course.audited.num_failed < 14  # those that ran then fail, too
    assert course.notes == [
        "auditing was given up: 10 trials failed of the same cause, at last: the data is gone"
    ]


def test_a_trial_whose_audit_failed_keeps_its_logs() -> None:
    curves = curves_of(1)
    straight, _ = ran("sha", curves, ALL)
    stopped = [t.number for t in straight.search.trials if t.outcome == "stopped"]
    curves[AUDITS_FROM + stopped[0]] = ["it broke"] * EPOCHS

    course, _ = ran("sha", curves, ALL)

    assert [number for number in stopped if course.has_failed(number)] == stopped[:1]


def test_broken_bits_of_what_comes_after_are_told_by_the_name_of_their_run() -> None:
    log = MemoryLog()
    course = Course(Search(plan_of("sha"), log), log, BOTH)
    course.begin()
    curves = curves_of(1)
    work = next_later(course, curves)
    course.reported(work.trial, Report(1, 1, 10, {METRIC: 0.5}))

    course.reported(work.trial, Report(1, 1, 10, {METRIC: 0.6}))

    name = label(work.trial)
    assert name.endswith("-confirm-1")
    assert course.notes == [
        f"trial {name} measured validation/loss = 0.6 at 1, and 0.5 before it went on: its bits "
        "are broken"
    ]


def next_later(course: Course, curves: Curves) -> Work:
    """Run a search alone, a trial at a time, and return the first work that comes after it."""
    while True:
        work = course.next_work()
        assert work is not None
        if work.trial >= AUDITS_FROM:
            return work
        for time in range(course.trial(work.trial).time + 1, EPOCHS + 1):
            values = {METRIC: curves[work.trial][time - 1]}
            reply = course.reported(work.trial, Report(time, time, 10 * time, values))
            if reply != "go_on" or time == work.until:
                break
        if reply != "stop" and time < EPOCHS:
            course.paused(work.trial, 10 * time, 0.1)
        elif reply == "go_on":
            told = {"metrics": values, "train_s": 1.0}
            course.ended(work.trial, "finished", step=10 * time, epoch=time, **told)


def test_parts_that_are_made_while_an_interrupt_comes_give_no_work() -> None:
    """The interrupt is of another thread: here it comes as the clock is looked at."""
    interrupts: list[Course] = []

    def now_s() -> float:
        for course in interrupts:
            course.interrupt()
        return 0.0

    log, afterwards = MemoryLog(), Afterwards(seed=5, confirm=3)
    course = Course(Search(plan_of("asha", 1), log, now_s), log, afterwards)
    course.begin()
    course.next_work()
    course.reported(0, Report(EPOCHS, EPOCHS, 80, {METRIC: 0.1}))
    interrupts.append(course)
    course.ended(0, "finished", step=80, epoch=8, metrics={METRIC: 0.1}, train_s=1.0)

    assert course.next_work() is None
    assert course.standing()["after"] == "confirming 0/3"


def test_a_search_that_ends_by_its_failures_has_nothing_after_it() -> None:
    curves = Curves({trial: ["no such column"] for trial in range(NUM_TRIALS)})

    course, log = ran("asha", curves, BOTH)

    assert course.search.cause is not None
    assert course.is_over
    assert own_events(log) == log.events
    assert (course.confirmed, course.audited) == (None, None)


def test_what_is_of_no_use_any_more_is_not_kept() -> None:
    course, log = ran("sha", curves_of(1), BOTH)

    best = course.search.best
    assert best is not None
    numbers = {event["trial"] for event in log.events if "trial" in event}
    assert [number for number in numbers if course.is_kept(number)] == [best.number]
    assert not course.is_kept(confirming_trial(best.number + 1, 0))


@given(
    name=st.sampled_from(sorted(SCHEDULERS)),
    kills=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_a_killed_driver_repeats_nothing_that_has_ended(
    name: str, kills: list[int], seed: int
) -> None:
    curves = curves_of(seed, fail=0.1)
    log = MemoryLog()

    course = run_on_killed(
        log, kills, lambda room: run_on(plan_of(name), curves, log, BOTH, seed + room)
    )

    ended: dict[int, int] = {}
    for place, event in enumerate(log.events):
        if event["event"] == "ended":
            assert event["trial"] not in ended
            ended[event["trial"]] = place
    assert {n for n in ended if n < AUDITS_FROM} == set(range(NUM_TRIALS))
    for place, event in enumerate(log.events):
        assert event["event"] != "started" or place < ended[event["trial"]]
    assert course.search.notes == []


@pytest.mark.slow
@pytest.mark.parametrize("afterwards", [BOTH, ALL])
def test_killed_at_each_event_a_synchronous_search_comes_to_the_same(
    afterwards: Afterwards,
) -> None:
    curves = curves_of(1)
    straight, straight_log = ran("sha", curves, afterwards)

    for room in range(1, len(straight_log.events)):
        log = MemoryLog(room=room)
        with pytest.raises(KilledError):
            run_on(plan_of("sha"), curves, log, afterwards)
        log.room = None
        course = run_on(plan_of("sha"), curves, log, afterwards, seed=room)

        assert course.confirmed == straight.confirmed
        assert course.audited == straight.audited
        assert course.search.epochs_spent == straight.search.epochs_spent


def test_an_interrupted_course_goes_on_later() -> None:
    curves, log = curves_of(1), MemoryLog()
    straight, straight_log = ran("sha", curves, BOTH)
    first = next(
        place for place, event in enumerate(straight_log.events)
        if kind_of(event.get("trial", -1))[0] == "confirm"
    )  # fmt: skip
    log.events = straight_log.events[: first + 3]
    course = Course(Search(plan_of("sha"), log), log, BOTH)
    course.replay(list(log.events))
    course.begin()
    work = course.next_work()
    assert work is not None
    course.interrupt()
    course.paused(work.trial, 5, 0.1)
    assert course.next_work() is None
    assert course.is_over

    later = run_on(plan_of("sha"), curves, log, BOTH)

    assert (later.confirmed, later.audited) == (straight.confirmed, straight.audited)


def test_more_seeds_can_be_asked_for_later() -> None:
    curves = curves_of(1)
    first, log = ran("sha", curves, Afterwards(seed=5, confirm=2))
    num_before = len(log.events)

    course = run_on(plan_of("sha"), curves, log, Afterwards(seed=5, confirm=4))

    assert first.confirmed is not None
    assert course.confirmed is not None
    assert list(course.confirmed.values) == [6, 7, 8, 9]
    assert len({e["trial"] for e in log.events[num_before:] if e["event"] == "started"}) == 2


def test_a_search_that_is_extended_is_audited_on() -> None:
    curves = curves_of(1)
    first, log = ran("asha", curves, BOTH, num=10)

    course = run_on(plan_of("asha"), curves, log, BOTH)

    assert len(course.search.trials) == NUM_TRIALS
    assert first.audited is not None
    assert course.audited is not None
    ended = {event["trial"] - AUDITS_FROM for event in log.events if event["event"] == "ended"}
    assert ended & set(range(10))
    assert ended & set(range(10, NUM_TRIALS))
    assert course.audited.num_audited == len(ended & set(range(NUM_TRIALS)))
    ends = [event["trial"] for event in log.events if event["event"] == "ended"]
    assert len(ends) == len(set(ends))


def test_lost_processes_of_what_comes_after_are_tried_again() -> None:
    log = MemoryLog()
    _, whole = ran("sha", curves_of(1), Afterwards(confirm=1))
    log.events = [event for event in whole.events if event.get("trial", -1) < AUDITS_FROM]
    course = Course(Search(plan_of("sha"), log), log, Afterwards(confirm=1))
    course.replay(list(log.events))
    course.begin()
    work = course.next_work()
    assert work is not None
    course.lost(work.trial, 7, TrainError("its process was killed"))

    again = course.next_work()

    assert again is not None
    assert (again.trial, again.attempt) == (work.trial, work.attempt + 1)


def test_curves_that_were_audited_are_known_to_another_scheduler() -> None:
    _, log = ran("sha", curves_of(1), ALL)

    cut = play(own_events(log), METRIC, "min", sha(Rule("min", EPOCHS, 4), NUM_TRIALS))
    known = play(with_audit(log.events), METRIC, "min", sha(Rule("min", EPOCHS, 4), NUM_TRIALS))

    assert cut.num_unknown > 0
    assert known.num_unknown == 0


def test_the_own_scheduler_makes_the_same_of_audited_curves() -> None:
    course, log = ran("sha", curves_of(1), ALL)

    played = play(with_audit(log.events), METRIC, "min", sha(RULE, NUM_TRIALS))

    assert played.epochs == course.search.epochs_spent
    assert played.num_stopped == 14
    assert course.search.best is not None
    assert played.best is not None
    assert played.best[0] == course.search.best.number
