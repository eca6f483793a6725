"""What a search's events tell of its trials."""

from collections.abc import Mapping
from typing import Any

import pytest

from distrain.report.search.told import Told, tell
from distrain.track.trials import AUDITS_FROM, confirming_trial

METRIC = "validation/loss"
SUGGESTED = {"event": "suggested", "assignment": {"x": 1}, "batch": [0, 1]}
STARTED = {"event": "started", "attempt": 1, "until": None}


def timed(*events: tuple[float, Mapping[str, Any]], trial: int = 0) -> list[dict[str, Any]]:
    """Return events of a trial with the seconds at which they were added."""
    return [{"trial": trial, **event, "time_ms": round(1000 * at_s)} for at_s, event in events]


def began(at_s: float, **fields: Any) -> dict[str, Any]:
    return {"event": "began", "time_ms": round(1000 * at_s), **fields}


def reported(time: int, value: float | str, train_s: float = 1.0) -> dict[str, Any]:
    at = {"time": time, "epoch": time, "step": 10 * time}
    return {"event": "reported", **at, "values": {METRIC: value}, "train_s": train_s}


def ended(outcome: str, **more: Any) -> dict[str, Any]:
    told = {"metrics": {}, "error": None, "step": 20, "epoch": 2, "train_s": 3.0, **more}
    return {"event": "ended", "outcome": outcome, **told}


def told_by(*events: Mapping[str, Any], is_driven: bool = False) -> Told:
    return tell(events, METRIC, is_driven=is_driven)


def test_a_whole_trial_has_its_final_value_and_others_their_last_one() -> None:
    whole = timed(
        (1, SUGGESTED),
        (1, STARTED),
        (2, reported(1, 0.5)),
        (3, reported(2, 0.7)),
        (3, ended("finished", metrics={METRIC: 0.5})),
    )
    stopped = timed((1, SUGGESTED), (1, STARTED), (4, reported(1, 0.9)), trial=1)
    stopped += timed((5, ended("stopped")), trial=1)

    trials = told_by(began(0), *whole, *stopped).trials

    assert [trial.score for trial in trials] == [0.5, 0.9]
    assert [trial.kind for trial in trials] == ["finished", "stopped"]
    assert trials[0].curve == ((1, 0.5), (2, 0.7))


def test_a_value_that_is_not_finite_is_read_as_what_it_is() -> None:
    events = timed((0, SUGGESTED), (0, STARTED), (1, reported(1, "inf")))

    (trial,) = told_by(began(0), *events).trials

    assert trial.score == float("inf")


def test_time_between_two_drivers_is_not_counted() -> None:
    first = timed((10, SUGGESTED), (10, STARTED), (14, reported(1, 0.5)))
    second = timed((1000, {**STARTED, "attempt": 2}), (1006, ended("finished")))

    told = told_by(began(10), *first, began(1000), *second)

    assert told.wall_s == pytest.approx(10)
    assert told.resumed_s == (4.0,)
    assert told.trials[0].spans == ((0.0, 4.0), (4.0, 10.0))
    assert told.began_ms == 10_000


def test_a_clock_that_is_set_back_takes_no_time_away() -> None:
    events = timed((10, SUGGESTED), (10, STARTED), (20, reported(1, 0.5)), (15, ended("finished")))

    told = told_by(began(10), *events)

    assert told.wall_s == pytest.approx(10)


def test_what_waits_at_a_rung_does_not_run() -> None:
    paused = {"event": "paused", "step": 10, "train_s": 2.0}
    events = timed(
        (0, SUGGESTED),
        (0, {**STARTED, "until": 1}),
        (2, reported(1, 0.5, 2.0)),
        (2, paused),
        (9, {**STARTED, "attempt": 2}),
        (12, reported(2, 0.4, 3.0)),
    )

    told = told_by(began(0), *events, is_driven=True)

    assert told.trials[0].spans == ((0.0, 2.0), (9.0, 12.0))
    assert told.trials[0].train_s == pytest.approx(5.0)
    assert (told.trials[0].state, told.trials[0].kind) == ("running", "going")


def test_seconds_of_a_lost_attempt_are_kept() -> None:
    lost = {"event": "lost", "step": 10, "error": None, "gives_up": False}
    events = timed(
        (0, SUGGESTED),
        (0, STARTED),
        (2, reported(1, 0.5, 2.0)),
        (3, lost),
        (4, {**STARTED, "attempt": 2}),
        (6, reported(2, 0.4, 2.5)),
    )

    (trial,) = told_by(began(0), *events).trials

    assert trial.train_s == pytest.approx(4.5)
    assert trial.num_lost == 1
    assert trial.state == "cut_off"


def test_other_seeds_and_audits_are_no_trials_of_the_search() -> None:
    own = timed((0, SUGGESTED), (0, STARTED), (5, ended("finished", metrics={METRIC: 0.1})))
    audit = timed((6, SUGGESTED), (6, STARTED), (9, ended("finished")), trial=AUDITS_FROM + 3)
    seed = confirming_trial(0, 1)
    other = timed((6, SUGGESTED), (6, STARTED), (8, ended("finished")), trial=seed)

    told = told_by(began(0), *own, *audit, *other)

    assert [trial.label for trial in told.later] == ["trial 3, audited", "trial 0, other seed 2"]
    assert (told.wall_s, told.shown_s) == (5.0, 9.0)


def test_the_last_driver_says_how_many_gpus_a_trial_has() -> None:
    assert told_by(began(0, gpus=2.0), began(5, gpus=1.0)).gpus == 1.0
    assert told_by(began(0)).gpus is None
