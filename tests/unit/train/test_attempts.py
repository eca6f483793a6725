"""A run's row of attempts and the wait for room; without Ray."""

from collections.abc import Mapping
from typing import final

import pytest

from distrain.errors import TrainError
from distrain.train import attempts
from distrain.train.attempts import Ended, Reason, train_in_attempts, wait_for_room
from distrain.train.faults import Fault
from distrain.train.job import Status, TrainOutcome
from distrain.train.nodes import Node
from distrain.train.placement import Placement


@final
class Notes:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tagged: dict[str, str] = {}

    def note(self, text: str) -> None:
        self.texts.append(text)

    def tags(self, values: Mapping[str, str]) -> None:
        self.tagged.update(values)


def outcome(status: Status = "finished", step: int = 40) -> TrainOutcome:
    return TrainOutcome(
        status=status,
        epoch=1,
        step=step,
        total_steps=40,
        steps_per_epoch=40,
        metrics={},
        weights_sha256="",
        weights_file="",
        num_parameters=1,
        num_workers=2,
        samples_per_second=None,
        best_step=None,
        resumed_from_step=None,
        waits={},
        plan_digest="",
    )


def stopped(reason: Reason | None) -> Ended:
    return Ended(outcome=outcome("interrupted", 12), reason=reason)


def lost(step: int) -> Ended:
    return Ended(fault=Fault("killed", TrainError("killed", where="worker of rank 1"), step))


def run(*endings: Ended, counts: tuple[int, ...] = (), max_failures: int = 3) -> Notes:
    """Let attempts end one after another in these ways; all of them must be made."""
    made, notes = iter(endings), Notes()
    sizes = iter(counts or (2,) * len(endings))
    train_in_attempts(lambda _number, _count: next(made), lambda: next(sizes), max_failures, notes)
    assert next(made, None) is None
    return notes


def test_a_lost_attempt_is_made_again_and_told() -> None:
    notes = run(lost(5), Ended(outcome=outcome()))

    assert notes.texts == ["worker of rank 1: killed; training goes on from the newest checkpoint"]


def test_each_resume_may_lose_as_many_attempts_as_the_start() -> None:
    for _ in range(2):  # the driver of the start, and that of a resume
        run(lost(5), lost(6), Ended(outcome=outcome()), max_failures=2)


def test_an_attempt_lost_three_times_at_one_step_is_the_last() -> None:
    with pytest.raises(TrainError, match="three times after step 5"):
        run(lost(5), lost(5), lost(5))


@pytest.mark.parametrize("reason", ["preemption", "resize"])
def test_an_attempt_that_the_driver_stopped_goes_on_and_is_not_counted(reason: Reason) -> None:
    notes = run(stopped(reason), Ended(outcome=outcome()), counts=(1, 2), max_failures=0)

    assert notes.texts[0].startswith("stopped after step 12: ")
    assert notes.texts[1] == "training goes on with 2 workers instead of 1"
    assert notes.tagged == {"distrain.workers_by_attempt": "1, 2"}


def test_an_attempt_that_the_user_stopped_is_the_last() -> None:
    assert run(stopped(None)).texts == []


def test_a_run_that_finished_while_it_was_asked_to_stop_has_finished() -> None:
    assert run(Ended(outcome=outcome(), reason="resize")).texts == []


def node(free: float, total: float = 2.0, *, is_draining: bool = False) -> Node:
    return Node("id", "127.0.0.1", 1, {"CPU": total}, {"CPU": free}, is_draining)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "SETTLE_S", 0.05)
    monkeypatch.setattr(attempts, "LOOK_S", 0.02)
    monkeypatch.setattr(Node, "answers", lambda self: self.port == 1)


def wait(placement: Placement, *looks: list[Node]) -> tuple[int, list[str]]:
    """Wait for room on a cluster that looks so, the last look staying."""
    seen, notes = iter(looks[:-1]), Notes()
    count = wait_for_room(placement, lambda: next(seen, looks[-1]), notes.note, lambda: None)
    return count, notes.texts


ELASTIC = Placement(4, 1.0, 0.0, least=1)


def test_an_elastic_run_takes_all_that_fits() -> None:
    assert wait(ELASTIC, [node(2), node(1, 1)]) == (3, [])


def test_an_elastic_run_takes_no_more_than_its_maximum() -> None:
    assert wait(ELASTIC, [node(8, 8)]) == (4, [])


def test_workers_that_have_just_ended_are_given_time_to_leave() -> None:
    assert wait(ELASTIC, [node(0), node(1)], [node(2), node(2)]) == (4, [])


def test_room_that_others_hold_is_not_waited_for_long() -> None:
    assert wait(ELASTIC, [node(0), node(2)]) == (2, [])


def test_a_node_about_to_leave_has_no_room() -> None:
    assert wait(ELASTIC, [node(2), node(2, is_draining=True)]) == (2, [])


def test_a_node_that_does_not_answer_has_no_room() -> None:
    dead = Node("id", "127.0.0.1", 2, {"CPU": 2.0}, {"CPU": 2.0})

    assert wait(ELASTIC, [node(2), dead]) == (2, [])


def test_a_run_without_room_for_its_least_queues_and_says_so() -> None:
    assert wait(Placement(2, 1.0, 0.0), [node(1)]) == (
        2,
        ["waiting for room for 2 workers; the cluster has room for 1 now"],
    )
