"""What the driver reads from Ray Train's errors."""

from ray.exceptions import ActorDiedError, RayActorError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from distrain.train.faults import NODE_LEFT
from distrain.train.run import deaths_told


def test_dead_workers_are_told_from_failed_ones() -> None:
    died = WorkerHealthCheckFailedError("a health check failed", failure=ActorDiedError())
    left = RayActorError(preempted=True)
    lost = WorkerGroupError("lost", {0: ValueError("of the user's"), 1: died, 2: left})

    deaths = deaths_told(lost)

    assert sorted(deaths) == [1, 2]
    assert "died unexpectedly" in deaths[1]
    assert deaths[2] == NODE_LEFT


def test_no_error_tells_of_no_deaths() -> None:
    assert deaths_told(None) == {}
