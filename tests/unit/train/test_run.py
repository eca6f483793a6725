"""What the driver gives to the workers, and what it survives; without them."""

import time
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from ray.train import WorkerGroupError

from distrain import lease
from distrain.claim_files import CLAIMS
from distrain.config.settings import ClusterSettings
from distrain.display import NoDisplay
from distrain.errors import CheckpointError, TrainError
from distrain.track import segment
from distrain.track.journal_reading import read_journal
from distrain.train import run
from distrain.train.beat import BeatRecord
from distrain.train.faults import NODE_LEFT, NODE_LOST
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.nodes import Node
from distrain.train.placement import Placement
from distrain.train.run import run_training

OUTCOME = TrainOutcome(
    *("finished", 1, 8, 8, 8, {}, "", "", 1, 1, None, None, None, {}, "")
).to_json()


def test_only_the_workers_of_the_last_attempt_may_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[TrainJob] = []

    def fit(trainer: Any) -> tuple[dict[str, Any] | None, Exception | None]:
        jobs.append(TrainJob.from_json(trainer.train_loop_per_worker.args[0]["job"]))
        for job in jobs:
            assert lease.is_held(tmp_path, job.fence, job.attempt) is (job is jobs[-1])
        return (None, RuntimeError("lost")) if len(jobs) == 1 else (OUTCOME, None)

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
        (tmp_path / CLAIMS / str(fence + 1)).touch()
        (tmp_path / run.STOP_FILE).touch()  # the other's user wants it
        return None, RuntimeError("lost")

    monkeypatch.setattr(run, "_fit", fit)
    monkeypatch.setattr(run, "live_nodes", list)
    monkeypatch.setattr(run, "wait_for_room", lambda *_: 1)
    with pytest.raises(CheckpointError, match="taken over"):
        drive(TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=fence))
    assert (tmp_path / run.STOP_FILE).exists()


def test_a_driver_that_was_taken_over_tells_that_and_records_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "LOOK_S", 0.0)
    fence = lease.take(tmp_path).fence

    def fit(_: Any) -> tuple[None, Exception]:
        (tmp_path / CLAIMS / str(fence + 1)).touch()
        return None, RuntimeError("lost")

    monkeypatch.setattr(run, "_fit", fit)
    monkeypatch.setattr(run, "live_nodes", list)
    monkeypatch.setattr(run, "wait_for_room", lambda *_: 1)
    with pytest.raises(CheckpointError, match="taken over"):
        drive(TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=fence))
    records, _ = read_journal(tmp_path / "journal", {})
    assert [record.kind for record in records] == ["tags"]  # of the attempt that it had begun


def test_interrupting_a_driver_that_was_taken_over_does_not_stop_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = lease.take(tmp_path).fence

    interruptions = iter([KeyboardInterrupt])

    def interrupted(futures: Any, timeout: float) -> Any:
        (tmp_path / CLAIMS / str(fence + 1)).touch()
        for interruption in interruptions:
            raise interruption
        return wait(futures, timeout=timeout / 1000)

    monkeypatch.setattr(run._Driver, "run", lambda *_: time.sleep(0.1))
    monkeypatch.setattr(run, "wait", interrupted)
    with pytest.raises(CheckpointError, match="taken over"):
        drive(TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=fence))
    assert not (tmp_path / run.STOP_FILE).exists()


def away(*_: Any) -> Any:
    raise OSError(5, "Input/output error")


def test_a_look_at_the_lease_that_storage_fails_leaves_the_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fence, looks = lease.take(tmp_path).fence, []
    check = lease.check

    def look(*arguments: Any) -> None:
        looks.append(arguments)
        if len(looks) < 4:
            away()
        check(*arguments)

    def work(*_: Any) -> str:
        while len(looks) < 5:
            time.sleep(0.01)
        return "done"

    monkeypatch.setattr(run, "LEASE_LOOK_S", 0.01)
    monkeypatch.setattr(lease, "check", look)
    monkeypatch.setattr(run._Driver, "run", work)

    assert drive(TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=fence)) == "done"
    assert caplog.text.count("Input/output error") == 1


def test_an_interruption_waits_for_storage_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence, check = lease.take(tmp_path).fence, lease.check
    stopped_by_then: list[bool] = []
    interruptions = iter([KeyboardInterrupt])

    def look(*arguments: Any) -> None:
        stopped_by_then.append((tmp_path / run.STOP_FILE).exists())
        if len(stopped_by_then) < 4:
            away()
        check(*arguments)

    def interrupted(futures: Any, timeout: float) -> Any:
        for interruption in interruptions:
            raise interruption
        return wait(futures, timeout=timeout)

    def work(*_: Any) -> bool:
        while not (tmp_path / run.STOP_FILE).exists():
            time.sleep(0.01)
        return True

    monkeypatch.setattr(run, "LEASE_LOOK_S", 0.01)
    monkeypatch.setattr(run, "wait", interrupted)
    monkeypatch.setattr(lease, "check", look)
    monkeypatch.setattr(run._Driver, "run", work)

    assert drive(TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=fence))
    assert stopped_by_then[:4] == [False] * 4


def test_storage_that_fails_between_attempts_costs_an_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, numbers = lease.begin_attempt, []

    def begin_attempt(run_dir: Path, fence: int | None, attempt: int) -> None:
        numbers.append(attempt)
        if attempt == 1:
            away()
        begin(run_dir, fence, attempt)

    monkeypatch.setattr(lease, "begin_attempt", begin_attempt)
    monkeypatch.setattr(run, "STORAGE_PAUSE_S", 0.0)
    monkeypatch.setattr(run, "_fit", lambda _: (OUTCOME, None))
    monkeypatch.setattr(run, "wait_for_room", lambda *_: 1)
    fence = lease.take(tmp_path).fence

    outcome = drive(TrainJob(str(tmp_path), "", {"name": "mlp"}, fence=fence))

    assert (outcome.status, numbers) == ("finished", [1, 2])


def test_a_fault_is_found_where_beats_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = iter([(None, RuntimeError("lost")), (OUTCOME, None)])
    monkeypatch.setattr(run, "read_beats", away)
    monkeypatch.setattr(run, "_fit", lambda _: next(results))
    monkeypatch.setattr(run, "live_nodes", list)
    monkeypatch.setattr(run, "wait_for_room", lambda *_: 1)

    assert drive(TrainJob(str(tmp_path), "", {"name": "mlp"})).status == "finished"


def test_a_silent_node_is_asked_once_for_all_of_its_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def answers(node: Node) -> bool:
        asked.append(node.id)
        return node.id == "good"

    monkeypatch.setattr(Node, "answers", answers)
    places = enumerate(["silent", "good", "silent", "gone", "leaving"])
    beats = {rank: BeatRecord(1, 1, 1, 1, False, "compute", node) for rank, node in places}
    nodes = [Node(name, "", 1, {}, {}) for name in ("good", "silent")]
    nodes.append(Node("leaving", "", 1, {}, {}, is_draining=True))

    told = run._with_lost_nodes({1: "died", None: "died"}, beats, nodes)

    fates = {0: NODE_LOST, 2: NODE_LOST, 3: NODE_LOST, 4: NODE_LEFT}
    assert told == {**fates, 1: "died", None: "died"}
    assert sorted(asked) == ["good", "silent"]


def test_a_node_that_left_as_announced_and_is_gone_by_now_is_not_lost() -> None:
    beats = {0: BeatRecord(1, 1, 1, 1, False, "compute", "gone")}

    assert run._with_lost_nodes({0: NODE_LEFT}, beats, []) == {0: NODE_LEFT}


def test_a_run_that_a_worker_does_not_see_ends_at_once_and_is_told_by_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = TrainError(
        "the run's folder is not there",
        where="worker of rank 1 on host beta (192.0.2.2)",
        cause="user",
        error_class="storage_not_seen",
    )
    numbers: list[int] = []

    def fit(_: Any) -> tuple[None, Exception]:
        numbers.append(len(numbers))
        return None, WorkerGroupError("lost", {1: refusal})

    monkeypatch.setattr(run, "_fit", fit)
    monkeypatch.setattr(run, "live_nodes", list)
    monkeypatch.setattr(run, "wait_for_room", lambda *_: 1)

    with pytest.raises(TrainError, match=r"^worker of rank 1 on host beta .* not there") as caught:
        drive(TrainJob(str(tmp_path), "", {"name": "mlp"}))

    assert numbers == [0]
    assert (caught.value.cause, caught.value.error_class) == ("user", "storage_not_seen")


def test_a_run_has_ended_though_its_folder_cannot_be_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / run.STOP_FILE).mkdir()  # cannot be unlinked
    monkeypatch.setattr(run._Driver, "run", lambda *_: "done")

    assert drive(TrainJob(str(tmp_path), "", {"name": "mlp"})) == "done"


def drive(job: TrainJob) -> TrainOutcome:
    return run_training(
        job,
        Placement(1, 1.0, 0.0),
        ClusterSettings(),
        max_failures=3,
        import_paths=[],
        display=NoDisplay(),
    )
