"""Which gauges a run and a search set, and when; no Ray is there."""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from distrain.display import NoDisplay
from distrain.train import gauges
from distrain.train.gauges import exporting, exporting_speed, labels_of, trials_by_state
from tests.waiting import wait_until

RUN = Path("runs/digits/20261130T1")
LABELS = {"run": "20261130T1", "experiment": "digits"}
PROGRESS = {"window_s": 2.0, "rows_per_s": 50.0, "data_s": 0.5, "reduce_s": 1.0}
STANDING = {
    "num_trials": 16, "num_ended": 9, "num_running": 2, "num_stopped": 4, "num_finished": 3,
    "num_failed": 1,
}  # fmt: skip


class Gauges:
    """Keeps the last value of each series, in the place of Ray's gauges."""

    def __init__(self) -> None:
        self.set: dict[tuple[str, str], float] = {}
        self.labels: set[tuple[tuple[str, str], ...]] = set()
        self.num_sets: defaultdict[str, int] = defaultdict(int)

    def __call__(self, name: str) -> Any:
        outer = self

        class One:
            def set(self, value: float, tags: Mapping[str, str]) -> None:
                outer.set[name, tags.get("state", "")] = value
                outer.labels.add(tuple((key, tags[key]) for key in ("run", "experiment")))
                outer.num_sets[name] += 1

        return One()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Gauges:
    known = Gauges()
    monkeypatch.setattr(gauges, "_gauge", known)
    monkeypatch.setattr(gauges, "SET_S", 0.01)
    return known


def test_a_run_tells_its_speed_and_its_backlog(known: Gauges) -> None:
    with exporting(RUN, NoDisplay(), lambda: 7) as told:
        told.progress(PROGRESS)
        wait_until(lambda: known.num_sets["journal_backlog"] > 1)

    assert known.labels == {tuple(LABELS.items())}
    assert known.set == {
        ("rows_per_second", ""): 50.0,
        ("data_wait_fraction", ""): 0.25,
        ("reduce_fraction", ""): 0.5,
        ("journal_backlog", ""): 7,
    }


def test_a_search_tells_its_trials_by_state(known: Gauges) -> None:
    with exporting(RUN, NoDisplay(), lambda: 0) as told:
        told.search(STANDING)
        wait_until(lambda: known.num_sets["trials"] >= 5)

    states = {state: value for (name, state), value in known.set.items() if name == "trials"}
    assert states == trials_by_state(STANDING)


def test_each_trial_is_in_one_state() -> None:
    states = trials_by_state(STANDING)

    assert sum(states.values()) == STANDING["num_trials"]
    assert states == {
        "waiting": 5, "running": 2, "stopped_early": 5, "finished": 3, "failed": 1,
    }  # fmt: skip


def test_an_actor_tells_its_speed_under_the_search_s_name(known: Gauges) -> None:
    with exporting_speed(LABELS) as speed:
        speed.take(PROGRESS)
        wait_until(lambda: ("reduce_fraction", "") in known.set)

    assert known.labels == {tuple(LABELS.items())}


def test_nothing_is_set_once_it_is_over(known: Gauges) -> None:
    with exporting(RUN, NoDisplay(), lambda: 7):
        wait_until(lambda: known.num_sets["journal_backlog"] > 1)
    num_sets = known.num_sets["journal_backlog"]

    time.sleep(0.1)

    assert known.num_sets["journal_backlog"] == num_sets


def test_on_a_ray_of_its_own_a_command_sets_none(
    known: Gauges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "is_own_ray", lambda: True)
    display = NoDisplay()

    with exporting(RUN, display, lambda: 7) as told:
        assert told is display
    with exporting_speed(labels_of(RUN)) as speed:
        speed.take(PROGRESS)

    assert known.num_sets == {}


def test_storage_that_is_away_ends_no_other_gauge(known: Gauges) -> None:
    def fail() -> int:
        raise OSError(5, "Input/output error")

    with exporting(RUN, NoDisplay(), fail) as told:
        told.progress(PROGRESS)
        wait_until(lambda: known.num_sets["rows_per_second"] > 2)

    assert "journal_backlog" not in known.num_sets


def test_what_ray_fails_with_is_logged_and_ends_no_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_name: str) -> Any:
        raise RuntimeError("no agent")

    monkeypatch.setattr(gauges, "_gauge", fail)
    monkeypatch.setattr(gauges, "SET_S", 0.01)
    caplog.set_level(logging.WARNING)

    with exporting(RUN, NoDisplay(), lambda: 7) as told:
        told.progress(PROGRESS)
        wait_until(lambda: bool(caplog.records))

    assert "no more gauges" in caplog.text
