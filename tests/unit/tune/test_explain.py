"""Why a trial was stopped, or was not."""

from dataclasses import asdict
from typing import Any

import pytest

from distrain.plain_json import finite
from distrain.tune.explain import State, explain_trial, state_of
from distrain.tune.halving import Rule, sha
from distrain.tune.median import MedianRule
from distrain.tune.plateau import PlateauRule
from distrain.tune.population import Population, PopulationRule

RULE = Rule(mode="max", max_time=4, grace_period=1, reduction_factor=2)


def logged(trial: int) -> list[dict[str, Any]]:
    """Return a trial's verdicts from a small search, as the event log holds them."""
    scheduler = sha(RULE, 4)
    values = [(1, [(0, 0.1), (1, 0.4), (2, float("nan")), (3, 0.3)]), (2, [(1, 0.5), (3, 0.6)])]
    made = [
        verdict
        for time, reports in values
        for number, value in reports
        for verdict in scheduler.report(number, time, value)
    ]
    return [finite(asdict(verdict)) for verdict in made if verdict.trial == trial]


def test_a_stopped_trial_is_told_rung_by_rung() -> None:
    assert explain_trial(1, logged(1), "stopped") == (
        "trial 1: it went on at 1 of the 2 rungs it was judged at.\n"
        "  rung 0: At epoch 1 its 0.4 is rank 1 of 4; the best 2 go on, 0.4 (trial 1) to 0.3 "
        "(trial 3), and so does it.\n"
        "  rung 1: At epoch 2 its 0.5 is rank 2 of 2; only the best goes on, 0.6 (trial 3); it "
        "needed at least 0.6, 0.1 away, and is stopped.\n"
        "It was stopped there, 1 place behind the last that went on."
    )


def test_a_value_that_is_no_number_is_told_as_such() -> None:
    text = explain_trial(2, logged(2), "stopped")
    assert "its nan is rank 4 of 4" in text
    assert text.endswith("2 places behind the last that went on.")


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("finished", "It was never stopped, and has finished."),
        ("failed", "It was never stopped by the scheduler: it failed."),
        ("stopped", "It was stopped with the search, not by the scheduler."),
        ("running", "It runs, and has not been stopped so far."),
        ("waiting", "It waits until there is room for it, and has not been stopped so far."),
        ("paused", "It is paused, with a checkpoint, until the others of its rung are there."),
    ],
)
def test_a_trial_that_was_kept_is_told_with_its_end(state: State, end: str) -> None:
    lines = explain_trial(3, logged(3), state).splitlines()
    assert lines[0] == "trial 3: it went on at 2 of the 2 rungs it was judged at."
    assert lines[-1] == end
    assert explain_trial(9, [], state).splitlines() == [
        "trial 9: the scheduler decided nothing about it.",
        end,
    ]


def test_verdicts_without_rungs_are_told_too() -> None:
    median = MedianRule(mode="min", max_time=4, min_samples=1)
    median.judge(0, 1, 0.5)
    stopped = median.judge(1, 1, 0.7)
    assert stopped is not None
    assert explain_trial(1, [asdict(stopped)], "stopped") == (
        "trial 1: one decision of the scheduler.\n"
        "  Up to epoch 1 its best value is 0.7, and the median of 1 other trials' running means "
        "is 0.5; it needed at most 0.5, and is stopped.\n"
        "It was stopped there."
    )
    plateau = PlateauRule(max_time=4, window=2, tolerance=0.0)
    plateau.judge(1, 1, 0.5)
    finished = plateau.judge(1, 2, 0.5)
    assert finished is not None
    assert explain_trial(1, [asdict(finished)], "finished").endswith(
        "It ended early, and counts as finished."
    )


@pytest.mark.parametrize("state", ["waiting", "paused", "cut_off"])
def test_what_nobody_drives_is_told_with_how_it_goes_on(state: State) -> None:
    assert explain_trial(3, logged(3), state, is_driven=False).endswith(
        "\nNobody drives the search now: `distrain resume` goes on with it."
    )


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_what_has_ended_does_not_go_on(state: State) -> None:
    assert "resume" not in explain_trial(3, logged(3), state, is_driven=False)


BEGAN = {"event": "began"}
SUGGESTED = {"event": "suggested", "trial": 1}
STARTED = {"event": "started", "trial": 1, "until": 2}
FREE = {"event": "started", "trial": 1, "until": None}
OTHER = {"event": "ended", "trial": 0, "outcome": "failed"}
AT_RUNG = {"event": "reported", "trial": 1, "time": 2}
BEFORE = {"event": "reported", "trial": 1, "time": 1}
GO_ON = {"event": "decided", "trial": 1, "action": "go_on"}
COPY = {"event": "decided", "trial": 1, "action": "copy"}
STOP = {"event": "decided", "trial": 1, "action": "stop"}
PAUSED = {"event": "paused", "trial": 1}
LOST = {"event": "lost", "trial": 1}
STOPPED = {"event": "ended", "trial": 1, "outcome": "stopped"}
EARLY = {"event": "ended", "trial": 1, "outcome": "stopped_early"}


@pytest.mark.parametrize(
    ("events", "driven", "alone"),
    [
        ([], "waiting", "waiting"),
        ([STARTED], "running", "cut_off"),
        ([STARTED, OTHER, BEFORE], "running", "cut_off"),
        ([STARTED, BEGAN], "waiting", "waiting"),
        ([STARTED, BEGAN, STARTED], "running", "cut_off"),
        ([STARTED, AT_RUNG, PAUSED], "paused", "paused"),
        ([STARTED, AT_RUNG, PAUSED, BEGAN], "paused", "paused"),
        ([STARTED, AT_RUNG, PAUSED, GO_ON], "waiting", "waiting"),
        ([STARTED, AT_RUNG, PAUSED, COPY], "waiting", "waiting"),
        ([STARTED, AT_RUNG, GO_ON, PAUSED], "waiting", "waiting"),
        ([STARTED, AT_RUNG, PAUSED, GO_ON, FREE], "running", "cut_off"),
        ([STARTED, AT_RUNG, PAUSED, STOP, STOPPED], "stopped", "stopped"),
        ([STARTED, BEFORE, PAUSED], "waiting", "waiting"),  # interrupted
        ([FREE, BEFORE, PAUSED], "waiting", "waiting"),
        ([STARTED, LOST], "waiting", "waiting"),
        ([FREE, EARLY], "finished", "finished"),
    ],
)
def test_a_trial_is_what_its_last_events_made_of_it(
    events: list[dict[str, Any]], driven: State, alone: State
) -> None:
    all_of_them = [BEGAN, SUGGESTED, *events]
    assert state_of(1, all_of_them, is_driven=True) == driven
    assert state_of(1, all_of_them, is_driven=False) == alone


def test_a_trial_that_took_over_is_told_from_whom() -> None:
    rule = PopulationRule("max", 6, interval=2, quantile_fraction=0.5, seed=0)
    scheduler = Population(rule, 2)
    made = []
    for time, values in ((2, (0.1, 0.2)), (4, (0.4, 0.3))):
        for trial, value in enumerate(values):
            scheduler.report(trial, time, value)
        made += scheduler.saved(0) + scheduler.saved(1)
    own = [finite(verdict.to_event()) for verdict in made if verdict.trial == 0]

    assert explain_trial(0, own, "finished") == (
        "trial 0: it went on at 1 of the 2 rungs it was judged at, and took over from another at "
        "1.\n"
        "  rung 0: At epoch 2 its 0.1 is rank 2 of 2; it is the last, and takes over from trial 1, "
        "of rank 1.\n"
        "  rung 1: At epoch 4 its 0.4 is rank 1 of 2; the last of them takes over from the best, "
        "and it goes on.\n"
        "It was never stopped, and has finished."
    )
