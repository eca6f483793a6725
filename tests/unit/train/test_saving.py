"""Checkpoints beside the training: whatever becomes of them, the run ends with the same bits."""

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from distrain import lease
from distrain.claim_files import CLAIMS
from distrain.errors import CheckpointError
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import read_journal
from distrain.train import cadence, checkpoint, ledger, saving
from distrain.train.checkpoint import committed_steps
from distrain.train.loop import TrainJob, TrainOutcome, train
from distrain.train.world import World
from tests.prepared_examples import write_classified
from tests.training_group import Group, train_in_groups

CPU = World.single("cpu")
TOTAL_STEPS = 18


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classified(tmp_path_factory.mktemp("data"), {"train": 95, "validation": 20})


@pytest.fixture
def job(data: Path, tmp_path: Path) -> TrainJob:
    return job_in(data, tmp_path / "run")


def job_in(data: Path, run_dir: Path, **changes: Any) -> TrainJob:
    fields: dict[str, Any] = {
        "model": {"name": "mlp", "hidden": [8], "norm": "batch"},
        "epochs": 3,
        "global_batch_size": 16,
        "metrics": [],
        "restore_best": True,
        "ledger": True,
        "checkpoint_every_s": None,
        "checkpoint_every_steps": 7,
        "checkpoint_keep": 1,
    }
    return TrainJob(str(run_dir), str(data), **{**fields, **changes})


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainOutcome:
    """A run without a fault."""
    return train(job_in(data, tmp_path_factory.mktemp("straight")), CPU)


class Lost(BaseException):
    """Stands for the death of the process."""


class DyingDisk:
    """Dies at one of the calls that change what is on the disk, and at each one after it."""

    CALLS = ("fsync", "replace", "mkdir", "unlink", "rmdir", "pwrite")

    def __init__(self, patch: pytest.MonkeyPatch, dies_at: float) -> None:
        self.num_calls = 0
        for name in self.CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name), dies_at))

    def _counted(self, call: Callable[..., Any], dies_at: float) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.num_calls += 1
            if self.num_calls > dies_at:
                raise Lost
            return call(*args, **kwargs)

        return counted


class FullDisk:
    """Has no room the first so many times that something is written by a function."""

    def __init__(self, function: Callable[..., Any], num_failures: float) -> None:
        self.num_left = num_failures
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.num_left <= 0:
            return self._function(*args, **kwargs)
        self.num_left -= 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def settled() -> bool:
    """Wait until no checkpoint is being written, so that the next falls due when it should."""
    for thread in threading.enumerate():
        if thread.name == "distrain-checkpoint":
            thread.join()
    return False


def rows_in_ledger(job: TrainJob) -> list[tuple[int, int]]:
    tables = [pq.read_table(path) for path in sorted(Path(job.run_dir, "ledger").glob("*.parquet"))]
    return [
        pair
        for table in tables
        for pair in zip(table["step"].to_pylist(), table["row"].to_pylist(), strict=True)
    ]


def assert_ends_like(straight: TrainOutcome, job: TrainJob, outcome: TrainOutcome) -> None:
    """Check the weights, the metrics, and that the ledger has each row of each step once."""
    assert (outcome.weights_sha256, outcome.metrics) == (straight.weights_sha256, straight.metrics)
    assert rows_in_ledger(job) == rows_in_ledger(
        job_in(Path(job.prepared_dir), Path(straight.weights_file).parent.parent)
    )


def notes(job: TrainJob) -> list[str]:
    records, _ = read_journal(Path(job.run_dir, "journal"), {})
    return [record.payload["text"] for record in records if record.kind == "note"]


def train_with_journal(job: TrainJob) -> TrainOutcome:
    with JournalWriter(Path(job.run_dir) / "journal", "rank0") as journal:
        return train(job, CPU, journal, stop_requested=settled)


@pytest.fixture(scope="module")
def calls_before_step(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """How many calls had changed the disk when each step began, and at the end."""
    counted: list[int] = []

    def count() -> bool:
        settled()
        counted.append(disk.num_calls)
        return False

    with pytest.MonkeyPatch.context() as patch:
        disk = DyingDisk(patch, dies_at=float("inf"))
        train(job_in(data, tmp_path_factory.mktemp("counted")), CPU, stop_requested=count)
    return [*counted, disk.num_calls]


def resumed_after_deaths(
    moments: range, data: Path, straight: TrainOutcome, runs: Path
) -> list[int | None]:
    """Return where runs went on that died at these calls; each must end like a straight one."""
    resumed_from = []
    for dies_at in moments:
        job = job_in(data, runs / str(dies_at))
        with pytest.MonkeyPatch.context() as patch:
            DyingDisk(patch, dies_at)
            with pytest.raises(Lost):
                train(job, CPU, stop_requested=settled)
        outcome = train(job, CPU)
        assert_ends_like(straight, job, outcome)
        resumed_from.append(outcome.resumed_from_step)
    return resumed_from


def test_a_death_at_a_moment_of_a_commit_leaves_a_run_that_goes_on(
    data: Path, straight: TrainOutcome, tmp_path: Path, calls_before_step: list[int]
) -> None:
    moments = range(calls_before_step[13], calls_before_step[14], 2)
    resumed_from = resumed_after_deaths(moments, data, straight, tmp_path)
    # The second checkpoint is there from one moment on; until then the first one is.
    assert resumed_from == sorted([7] * resumed_from.count(7) + [14] * resumed_from.count(14))
    assert set(resumed_from) == {7, 14}


@pytest.mark.slow
def test_a_death_at_any_moment_of_a_run_leaves_one_that_goes_on(
    data: Path, straight: TrainOutcome, tmp_path: Path, calls_before_step: list[int]
) -> None:
    moments = range(calls_before_step[-1])
    resumed_from = resumed_after_deaths(moments, data, straight, tmp_path)
    assert resumed_from == sorted(resumed_from, key=lambda step: step or 0)
    assert set(resumed_from) == {None, 7, 14, TOTAL_STEPS}


@pytest.mark.parametrize("name", ["write_tensors", "write_atomically", "sync_folder"])
def test_a_full_disk_fails_the_checkpoint_and_not_the_run(
    job: TrainJob, straight: TrainOutcome, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(checkpoint, name, FullDisk(getattr(checkpoint, name), 1))
    outcome = train_with_journal(job)
    assert_ends_like(straight, job, outcome)
    assert committed_steps(Path(job.run_dir))[0] == TOTAL_STEPS
    failed, recovered = notes(job)
    assert failed.startswith(f"the checkpoint of step 7 could not be written to {job.run_dir}: [Er")
    assert failed.endswith("No space left on device; training goes on; there is none")
    assert recovered == "checkpoints are written again, after 1 that could not be"


def test_a_disk_that_stays_full_is_told_once(
    job: TrainJob, straight: TrainOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "RETRY_S", 0.0)
    # Steps 7 and 14, and the last one twice; there is room for the final weights again.
    monkeypatch.setattr(checkpoint, "write_tensors", FullDisk(checkpoint.write_tensors, 4))
    outcome = train_with_journal(job)
    assert outcome.status == "finished"
    assert outcome.weights_sha256 == straight.weights_sha256
    told = notes(job)
    assert len(told) == 2
    assert told[1] == "training ends at step 18 without a checkpoint of it; there is none"
    assert sorted(path.name for path in Path(job.run_dir, "checkpoints").iterdir()) == [
        "final-outputs.safetensors",
        "final.safetensors",
    ]


def test_the_ledger_loses_nothing_where_it_could_not_be_written(
    job: TrainJob, straight: TrainOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "replacing", FullDisk(ledger.replacing, 2))
    assert_ends_like(straight, job, train_with_journal(job))
    assert "step 7 could not be written" in notes(job)[0]


def test_a_journal_that_cannot_be_synced_fails_the_checkpoint(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JournalWriter(Path(job.run_dir) / "journal", "rank0") as journal:
        monkeypatch.setattr(journal, "sync", FullDisk(journal.sync, 1))
        train(job, CPU, journal)
    assert notes(job)[0].startswith("the checkpoint of step 7 could not be written")


@pytest.mark.parametrize("every", [{"steps": 3}, {"s": 0.4}])
def test_a_slow_write_never_leaves_more_than_an_interval_unsaved(
    data: Path,
    straight: TrainOutcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every: dict[str, float],
) -> None:
    settings = {"checkpoint_every_steps": None} | {
        f"checkpoint_every_{unit}": size for unit, size in every.items()
    }
    job = job_in(data, tmp_path, checkpoint_keep=9, **settings)
    write = checkpoint.write_tensors
    times: list[float] = []
    unsaved: list[float] = []

    def slow_write(*args: Any) -> Any:
        time.sleep(0.15)
        return write(*args)

    def look() -> bool:
        times.append(time.monotonic())
        newest = next(iter(committed_steps(tmp_path)), 0)
        step = len(times) - 1
        unsaved.append(step - newest if "steps" in every else times[step] - times[newest])
        time.sleep(0.05)
        return False

    monkeypatch.setattr(checkpoint, "write_tensors", slow_write)
    assert_ends_like(straight, job, train(job, CPU, stop_requested=look))
    assert len(unsaved) == TOTAL_STEPS
    # By the clock it may be more by a step.
    assert max(unsaved) <= every.get("steps", 0.55)
    assert len(committed_steps(tmp_path)) > 2


def test_training_goes_on_while_a_checkpoint_is_written_and_none_waits_behind_it(
    data: Path, straight: TrainOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(data, tmp_path, checkpoint_every_steps=2, checkpoint_keep=9)
    may_write, steps_asked = threading.Event(), []
    write = checkpoint.write_tensors

    def slow_write(*args: Any) -> Any:
        assert may_write.wait(30)
        return write(*args)

    def count() -> bool:
        steps_asked.append(None)
        if len(steps_asked) == 9:  # eight steps are committed
            may_write.set()
            settled()
        if len(steps_asked) == 12:
            raise Lost
        return False

    monkeypatch.setattr(checkpoint, "write_tensors", slow_write)
    monkeypatch.setattr(cadence, "HOLD_S", 0.01)
    with (
        JournalWriter(tmp_path / "journal", "rank0") as journal,
        pytest.raises(Lost),
    ):
        train(job, CPU, journal, stop_requested=count)
    assert notes(job) == [
        "the checkpoint of step 2 is still being written; training goes on, and a death may cost "
        "more than train.checkpoint says; there is none"
    ]
    steps = committed_steps(tmp_path)
    assert steps[-1] == 2
    assert steps[-2] == 9  # overdue, so at the first step after
    monkeypatch.undo()
    # What was written is the state of its step, though training had gone on.
    for step in steps[:-1]:
        (tmp_path / f"checkpoints/step-{step}").rename(tmp_path / f"later-{step}")
    outcome = train(job, CPU)
    assert outcome.resumed_from_step == 2
    assert_ends_like(straight, job, outcome)


def test_what_goes_wrong_beside_the_training_ends_it(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(checkpoint, "write_tensors", fail)
    with pytest.raises(RuntimeError, match="nobody foresaw this"):
        train(job, CPU)
    assert "distrain-checkpoint" not in [thread.name for thread in threading.enumerate()]


def test_a_driver_that_was_taken_over_commits_nothing_more(
    data: Path, straight: TrainOutcome, tmp_path: Path
) -> None:
    first = lease.take(tmp_path)
    job = job_in(data, tmp_path, fence=first.fence)
    num_asked = [0]

    def take_over() -> bool:
        num_asked[0] += 1
        if num_asked[0] == 10:
            Path(tmp_path, CLAIMS, str(first.fence + 1)).touch()
        return settled()

    with pytest.raises(CheckpointError, match="the run was taken over"):
        train(job, CPU, stop_requested=take_over)
    assert committed_steps(tmp_path) == [7]
    outcome = train(job_in(data, tmp_path, fence=first.fence + 1), CPU)
    assert outcome.resumed_from_step == 7
    assert_ends_like(straight, job, outcome)


def test_workers_that_were_taken_for_lost_commit_nothing_more(
    data: Path, straight: TrainOutcome, tmp_path: Path
) -> None:
    fence = lease.take(tmp_path).fence
    lease.begin_attempt(tmp_path, fence, 1)
    job = job_in(data, tmp_path, fence=fence, attempt=1)
    num_asked = [0]

    def next_attempt() -> bool:
        num_asked[0] += 1
        if num_asked[0] == 10:
            lease.begin_attempt(tmp_path, fence, 2)
        return settled()

    with pytest.raises(CheckpointError, match="another attempt at the run has begun"):
        train(job, CPU, stop_requested=next_attempt)
    assert committed_steps(tmp_path) == [7]
    assert {step for step, _ in rows_in_ledger(job)} == set(range(1, 8))
    outcome = train(job_in(data, tmp_path, fence=fence, attempt=2), CPU)
    assert outcome.resumed_from_step == 7
    assert_ends_like(straight, job, outcome)


@pytest.mark.parametrize("place", ["write_table", "remove_leftovers"])
def test_workers_that_thaw_while_they_write_put_nothing_in_place(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """They freeze within a part of the ledger, or before the final weights."""
    fence = lease.take(tmp_path).fence
    lease.begin_attempt(tmp_path, fence, 1)
    job = job_in(data, tmp_path, fence=fence, attempt=1)
    owner: Any = pq.ParquetWriter if place == "write_table" else ledger
    call = getattr(owner, place)

    def freeze(*args: Any) -> None:
        call(*args)
        lease.begin_attempt(tmp_path, fence, 2)

    monkeypatch.setattr(owner, place, freeze)
    with pytest.raises(CheckpointError, match="another attempt at the run has begun"):
        train(job, CPU)
    assert bool(rows_in_ledger(job)) is (place != "write_table")
    assert not (tmp_path / "checkpoints/final.safetensors").exists()


def test_old_checkpoints_that_stay_are_no_missed_save(
    job: TrainJob, straight: TrainOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    monkeypatch.setattr(checkpoint, "retain", fail)
    outcome = train_with_journal(job)
    assert_ends_like(straight, job, outcome)
    assert [note.partition(": ")[0] for note in notes(job)] == [
        "an older checkpoint could not be removed"
    ]


def test_a_last_save_that_fails_is_tried_again(
    data: Path, straight: TrainOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(data, tmp_path, checkpoint_every_steps=None)
    monkeypatch.setattr(saving, "RETRY_S", 0.0)
    monkeypatch.setattr(ledger, "replacing", FullDisk(ledger.replacing, 1))
    outcome = train_with_journal(job)
    assert_ends_like(straight, job, outcome)
    assert notes(job) == []
    assert committed_steps(tmp_path) == [TOTAL_STEPS]


def test_a_run_does_not_end_without_the_end_of_its_ledger(
    data: Path, straight: TrainOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(data, tmp_path)
    monkeypatch.setattr(saving, "RETRY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "replacing", FullDisk(ledger.replacing, 99))
        with pytest.raises(OSError, match=r"ledger of .* could not be written to its end"):
            train(job, CPU)
    assert_ends_like(straight, job, train(job, CPU))


def test_nothing_but_parts_stays_in_the_ledger_of_a_run_that_is_done(job: TrainJob) -> None:
    def leave_word() -> bool:
        Path(job.run_dir, "ledger/.step-00000007-rank-3.failed").touch()
        return False

    train(job, CPU, stop_requested=leave_word)
    assert list(Path(job.run_dir, "ledger").glob(".*")) == []


def test_a_failure_that_cannot_be_told_ends_the_training(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(checkpoint, "write_tensors", FullDisk(checkpoint.write_tensors, 1))
    with JournalWriter(Path(job.run_dir) / "journal", "rank0") as journal:
        monkeypatch.setattr(journal, "note", fail)
        with pytest.raises(OSError, match="Input/output error"):
            train(job, CPU, journal, stop_requested=settled)


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(
    data: Path, straight: TrainOutcome, tmp_path: Path, name: str
) -> None:
    job = job_in(data, tmp_path, checkpoint_keep=3)
    train(job, CPU, stop_requested=settled)
    for step in (14, TOTAL_STEPS):
        path = tmp_path / f"checkpoints/step-{step}" / name
        path.write_bytes(path.read_bytes()[:-5])
    outcome = train_with_journal(job)
    assert outcome.resumed_from_step == 7
    assert_ends_like(straight, job, outcome)
    assert [f"step-{step}" in note for note, step in zip(notes(job), (18, 14), strict=True)]
    assert committed_steps(tmp_path) == [18, 14, 7]


def test_without_a_good_checkpoint_the_run_begins_anew(
    data: Path, straight: TrainOutcome, tmp_path: Path
) -> None:
    job = job_in(data, tmp_path)
    train(job, CPU)
    (tmp_path / f"checkpoints/step-{TOTAL_STEPS}/state.safetensors").unlink()
    for step in committed_steps(tmp_path):
        (tmp_path / f"checkpoints/step-{step}/manifest.json").write_bytes(b"{}")
    outcome = train(job, CPU)
    assert outcome.resumed_from_step is None
    assert_ends_like(straight, job, outcome)


@pytest.mark.slow
def test_a_run_killed_on_three_workers_goes_on_with_two_and_its_ledger_has_no_seam(
    data: Path, straight: TrainOutcome, tmp_path: Path
) -> None:
    job = job_in(data, tmp_path / "run", checkpoint_every_steps=3)
    groups = [Group(3, [job], killed_after=11), Group(2, [job])]
    resumed = train_in_groups(groups, tmp_path)[1][0]
    for found in resumed:
        assert 3 <= found["resumed_from_step"] <= 11
        assert found["weights_sha256"] == straight.weights_sha256
    assert sorted(rows_in_ledger(job)) == sorted(
        rows_in_ledger(job_in(data, Path(straight.weights_file).parent.parent))
    )
    assert list(Path(job.run_dir, "ledger").glob(".*")) == []


def test_another_model_is_refused_with_what_differs(data: Path, tmp_path: Path) -> None:
    train(job_in(data, tmp_path), CPU)
    other = job_in(data, tmp_path, model={"name": "mlp", "hidden": [9], "norm": "batch"})
    with pytest.raises(
        CheckpointError, match=r"holds another model: .*\(\[8, 6\] there, \[9, 6\] here\).* more"
    ):
        train(other, CPU)
