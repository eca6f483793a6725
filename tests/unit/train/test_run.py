"""What the driver reads from Ray Train's errors, and what it gives to the workers."""

from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayActorError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from distrain import lease
from distrain.config.settings import ClusterSettings
from distrain.display import NoDisplay
from distrain.errors import CheckpointError
from distrain.train import run
from distrain.train.faults import NODE_LEFT
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.placement import Placement
from distrain.train.run import deaths_told, run_training


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


def test_only_the_workers_of_the_last_attempt_may_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[TrainJob] = []
    outcome = TrainOutcome(
        *("finished", 1, 8, 8, 8, {}, "", "", 1, 1, None, None, None, {}, "")
    ).to_json()

    def fit(trainer: Any) -> tuple[dict[str, Any] | None, Exception | None]:
        jobs.append(TrainJob.from_json(trainer.train_loop_per_worker.args[0]["job"]))
        for job in jobs:
            assert lease.is_held(tmp_path, job.fence, job.attempt) is (job is jobs[-1])
        return (None, RuntimeError("lost")) if len(jobs) == 1 else (outcome, None)

    monkeypatch.setattr(run, "_fit", fit)
    monkeypatch.setattr(run, "live_nodes", list)
    monkeypatch.setattr(run, "wait_for_room", lambda *_: 1)
    job = TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=lease.take(tmp_path).fence)
    drive(job)
    assert len(jobs) == 2


def test_a_driver_that_was_taken_over_leaves_the_stop_file_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = lease.take(tmp_path).fence

    def fit(_: Any) -> tuple[None, Exception]:
        (tmp_path / lease.CLAIMS / str(fence + 1)).touch()
        (tmp_path / run.STOP_FILE).touch()  # the other's user wants it
        return None, RuntimeError("lost")

    monkeypatch.setattr(run, "_fit", fit)
    monkeypatch.setattr(run, "live_nodes", list)
    monkeypatch.setattr(run, "wait_for_room", lambda *_: 1)
    with pytest.raises(CheckpointError, match="taken over"):
        drive(TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=fence))
    assert (tmp_path / run.STOP_FILE).exists()


def drive(job: TrainJob) -> TrainOutcome:
    return run_training(
        job,
        Placement(1, 1.0, 0.0),
        ClusterSettings(),
        max_failures=3,
        import_paths=[],
        display=NoDisplay(),
    )
