"""Whose process died, by Ray Train's errors."""

import pickle

import pytest
from ray.exceptions import (
    ActorDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    RuntimeEnvSetupError,
)
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerHealthCheckFailedError,
)

from distrain.errors import TrainError
from distrain.train.deaths import deaths_told, refusal_told
from distrain.train.faults import NODE_LEFT, Fault, find_fault, verdict


def not_begun(cause: BaseException) -> ControllerError:
    failed = WorkerGroupStartupFailedError(
        "At least one of the worker actors failed to initialize."
    )
    failed.__cause__ = cause
    return ControllerError(failed)


def fault(lost: Exception) -> Fault:
    return find_fault([], deaths_told(lost), None, str(lost))


def test_dead_workers_are_told_from_failed_ones() -> None:
    died = WorkerHealthCheckFailedError("a health check failed", failure=ActorDiedError())
    left = RayActorError(preempted=True)
    memory = OutOfMemoryError("the node running low on memory")
    errors = {0: ValueError("of the user's"), 1: died, 2: left, 3: memory}
    lost = WorkerGroupError("lost", errors)

    deaths = deaths_told(lost)

    assert sorted(deaths) == [1, 2, 3]
    assert "died unexpectedly" in deaths[1]
    assert deaths[2] == NODE_LEFT
    assert "running low on memory" in deaths[3]


def test_no_error_tells_of_no_deaths() -> None:
    assert deaths_told(None) == {}


def test_a_refusal_that_could_leave_no_record_is_told_by_ray() -> None:
    refusal = TrainError("the run's folder is not there", cause="user", error_class="unseen")
    fails = TrainError("the loss is nan")
    lost = WorkerGroupError("lost", {0: RuntimeError("connection closed"), 1: refusal})

    assert refusal_told(pickle.loads(pickle.dumps(lost))).to_json() == refusal.to_json()
    assert refusal_told(WorkerGroupError("lost", {0: ValueError("no"), 1: fails})) is None
    assert refusal_told(None) is None


@pytest.mark.parametrize(
    "lost", [not_begun(ActorDiedError()), ControllerError(ActorDiedError())], ids=["by", "with"]
)
def test_a_worker_that_dies_before_it_begins_is_dead(lost: ControllerError) -> None:
    deaths = deaths_told(lost)

    assert list(deaths) == [None]
    assert "died unexpectedly" in deaths[None]


def test_workers_that_die_before_they_begin_count_as_any_others() -> None:
    lost = [fault(not_begun(ActorDiedError())) for _ in range(4)]

    assert verdict(lost[:3], max_failures=3) is None
    error = verdict(lost, max_failures=3)
    assert error is not None
    assert "more than 3 times" in error.message


def test_a_node_that_leaves_as_announced_while_workers_begin_counts_for_nothing() -> None:
    lost = [fault(not_begun(RayActorError(preempted=True)))] * 2

    assert [one.kind for one in lost] == ["preempted", "preempted"]
    assert verdict(lost, max_failures=0) is None


@pytest.mark.parametrize(
    "cause",
    [
        ActorDiedError(RayTaskError("__init__", "No module named torch", ImportError("torch"))),
        RuntimeEnvSetupError("cannot be set up"),
        RayTaskError("on_start", "No module named torch", ImportError("torch")),
    ],
    ids=["while it is made", "before", "afterwards"],
)
def test_workers_whose_environment_is_broken_do_not_count_as_dead(cause: Exception) -> None:
    lost = [fault(not_begun(cause))] * 2

    assert [one.kind for one in lost] == ["cluster", "cluster"]
    assert verdict(lost, max_failures=3) is not None
