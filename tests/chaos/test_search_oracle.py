"""The oracle finds what a search must not do, or its word that nothing was found is worthless."""

from typing import Any

from tests.chaos.search_oracle import (
    MARK_KEY,
    Pass,
    decisions,
    repeated_after_end,
    trained_after_end,
)

DRIVER, ACTOR = 10, 11


def events(*kinds: str, trial: int = 0) -> list[dict[str, Any]]:
    """Return events of one trial, a second after one another."""
    return [
        {"event": kind, "trial": trial, "time_ms": 1000 * at, "assignment": {MARK_KEY: 7}}
        for at, kind in enumerate(kinds)
    ]


def test_a_trial_that_is_started_again_behind_its_end_is_found() -> None:
    assert repeated_after_end(events("suggested", "started", "ended")) == []
    assert repeated_after_end(events("suggested", "started", "ended", "started")) == [0]


def test_a_second_end_of_a_trial_is_found() -> None:
    assert repeated_after_end(events("suggested", "started", "ended", "ended")) == [0]


def test_a_trial_that_is_trained_behind_its_end_is_found() -> None:
    log = events("suggested", "started", "ended")

    assert trained_after_end(log, [Pass(7, ACTOR, 1500)], [DRIVER]) == []
    assert trained_after_end(log, [Pass(7, ACTOR, 1500), Pass(7, ACTOR, 2500)], [DRIVER]) == [0]


def test_the_batch_that_a_driver_tries_is_no_training() -> None:
    log = events("suggested", "started", "ended")

    assert trained_after_end(log, [Pass(7, DRIVER, 2500)], [DRIVER]) == []


def test_decisions_differ_by_what_they_say_and_not_by_when() -> None:
    one = {"event": "decided", "trial": 3, "action": "stop", "cut": 0.5, "time_ms": 1}

    assert decisions([one]) == decisions([{**one, "time_ms": 2}])
    assert decisions([one]) != decisions([{**one, "cut": 0.25}])
    assert decisions([one]) != decisions([one, one])
