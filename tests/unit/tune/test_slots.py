"""Actors as slots of a search: their work, what they are answered, and what becomes of the dead."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import TrainError
from distrain.report.search_view import search_text
from distrain.train.beat import LOG_FOLDER, beating
from distrain.train.placement import Placement
from distrain.tune.course import Afterwards, Course
from distrain.tune.faults import KernelKills
from distrain.tune.hangs import leave_last_word
from distrain.tune.reporter import REPLY
from distrain.tune.search import Search
from distrain.tune.slots import Slots
from distrain.tune.trials import Work
from tests.simulated_trials import METRIC, MemoryLog, plan_of

HERE = "the node of the driver"
ENDED = {"outcome": "finished", "step": 10, "epoch": 1, "metrics": {METRIC: 0.5}, "train_s": 0.1}


@pytest.fixture
def slots_of(tmp_path: Path) -> Callable[..., tuple[Slots, Search]]:
    def make(num: int, prepare: Any = None) -> tuple[Slots, Search]:
        log = MemoryLog()
        search = Search(plan_of("none", num=num), log)
        course = Course(search, log, Afterwards())

        def folder(work: Work) -> Path:
            return tmp_path / "trials" / str(work.trial)

        placement = Placement(2, 1.0, 0.0)
        replies = tmp_path / "slots"
        slots = Slots(course, prepare or folder, placement, replies, lambda: None, HERE)
        return slots, search

    return make


def test_a_slot_opens_with_the_first_trial(slots_of: Any, tmp_path: Path) -> None:
    slots, _ = slots_of(2)

    config = slots.open("a")

    assert config == {
        "slot": str(tmp_path / "slots" / "a"),
        "work": {
            "folder": str(tmp_path / "trials" / "0"),
            "attempt": 1,
            "until": None,
            "saved_step": None,
        },
    }


def test_what_was_asked_for_ahead_is_the_first_slot_s(slots_of: Any, tmp_path: Path) -> None:
    slots, search = slots_of(3)

    assert slots.ask_ahead()

    opened = [slots.open(name)["work"]["folder"] for name in ("a", "b")]
    assert opened == [str(tmp_path / "trials" / number) for number in ("0", "1")]
    assert len(search.trials) == 2


def test_no_slot_opens_where_there_is_no_work(slots_of: Any) -> None:
    slots, _ = slots_of(1)
    slots.open("a")

    assert slots.open("b") is None


def test_a_trial_that_goes_on_is_left_no_file(slots_of: Any, tmp_path: Path) -> None:
    slots, search = slots_of(1)
    slots.open("a")
    report = {"time": 1, "epoch": 1, "step": 10, "values": {METRIC: 0.5}, "train_s": 0.1}

    assert slots.take("a", "report", report)

    assert search.trials[0].reports == [(1, 0.5)]
    assert list((tmp_path / "slots" / "a").iterdir()) == []


def test_a_slot_whose_trial_ended_is_left_the_next_one(slots_of: Any, tmp_path: Path) -> None:
    slots, search = slots_of(2)
    slots.open("a")

    assert slots.take("a", "ended", ENDED)

    answer = json.loads((tmp_path / "slots" / "a" / REPLY.format(number=1)).read_text())
    assert search.trials[0].outcome == "finished"
    assert answer["reply"] == "stop"
    assert answer["work"]["folder"] == str(tmp_path / "trials" / "1")


def test_a_slot_without_work_is_gone(slots_of: Any, tmp_path: Path) -> None:
    slots, _ = slots_of(1)
    slots.open("a")

    assert not slots.take("a", "ended", ENDED)

    assert slots.is_over
    assert slots.error is None
    assert not (tmp_path / "slots" / "a").exists()


def test_the_trial_of_an_actor_that_died_is_tried_again(slots_of: Any) -> None:
    slots, search = slots_of(1)
    slots.open("a")

    slots.take_death("a", "it died")

    config = slots.open("b")
    assert search.trials[0].losses == [0]
    assert config["work"]["attempt"] == 2


def test_what_an_actor_left_as_its_last_word_is_why_it_died(slots_of: Any, tmp_path: Path) -> None:
    slots, search = slots_of(1)
    slots.open("a")
    (tmp_path / "trials" / "0").mkdir(parents=True)
    leave_last_word(tmp_path / "trials" / "0", TrainError("the trial stood still for 60 s"))

    slots.take_death("a", "it died")
    slots.open("b")
    slots.take_death("b", "it died")

    assert search.trials[0].error is not None
    assert search.trials[0].error.message == "the trial stood still for 60 s"


def test_an_actor_without_memory_tells_what_it_had(slots_of: Any) -> None:
    slots, search = slots_of(1)
    said = "killed due to the node running low on memory. It was 15.2GB used / 16.0GB limit"

    for name in ("a", "b"):
        slots.open(name)
        slots.take_death(name, said)

    assert search.trials[0].error is not None
    assert "it had 1 CPU, and 15.2GB of its machine's 16.0GB" in search.trials[0].error.expected


@pytest.mark.parametrize(
    ("node", "killer"),
    [(HERE, "the kernel killed the trial"), ("another", "the worker's process was killed")],
)
def test_the_kernel_of_the_driver_s_node_is_not_blamed_for_a_death_on_another(
    slots_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, killer: str
) -> None:
    counters, trial_folder = tmp_path / "vmstat", tmp_path / "trials" / "0"
    counters.write_text("oom_kill 0\n")
    monkeypatch.setattr("distrain.tune.slots.KernelKills", partial(KernelKills, counters=counters))
    (trial_folder / LOG_FOLDER).mkdir(parents=True)
    slots, search = slots_of(1)

    for attempt, name in enumerate(("a", "b"), start=1):
        slots.open(name)
        with beating(trial_folder, 0, attempt=attempt, node=node):
            counters.write_text(f"oom_kill {attempt}\n")
        slots.take_death(name, "it died")

    assert search.trials[0].error is not None
    assert killer in search.trials[0].error.message


def test_a_slot_that_failed_unseen_is_taken_for_dead_once(slots_of: Any) -> None:
    slots, search = slots_of(1)
    slots.open("a")

    slots.look_for_dead(["a", "of another search"])
    slots.look_for_dead(["a"])

    assert search.trials[0].losses == [0]


def test_what_goes_wrong_is_left_and_ends_the_search(slots_of: Any) -> None:
    def prepare(_work: Work) -> Path:
        raise OSError("the disk is full")

    slots, _ = slots_of(2, prepare)

    assert slots.open("a") is None

    assert "the disk is full" in str(slots.error)
    assert slots.is_over


def test_a_trial_that_will_be_audited_is_told_to_save_its_state(tmp_path: Path) -> None:
    log = MemoryLog()
    course = Course(Search(plan_of("asha", num=4), log), log, Afterwards(audit_fraction=1.0))
    placement = Placement(2, 1.0, 0.0)
    slots = Slots(course, lambda _: tmp_path, placement, tmp_path / "slots", lambda: None, HERE)
    for name, value in (("a", 0.1), ("b", 0.9)):
        slots.open(name)
        report = {"time": 1, "epoch": 1, "step": 5, "values": {METRIC: value}, "train_s": 0.1}
        assert slots.take(name, "report", report)

    reply = json.loads((tmp_path / "slots" / "b" / REPLY.format(number=1)).read_text())

    assert reply == {"reply": "pause"}
    assert not (tmp_path / "slots" / "a" / REPLY.format(number=1)).exists()


def test_trials_that_wait_for_room_are_not_told_as_running(slots_of: Any) -> None:
    slots, _ = slots_of(3)
    for name in "ab":
        slots.open(name)

    slots.look_for_room(1)

    standing = slots._course.standing()
    assert (standing["num_running"], standing["num_waiting"]) == (1, 1)
    assert "1 running  1 waiting for room" in search_text(standing)
