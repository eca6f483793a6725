"""Runs whose driver goes, or whose workers do not meet, in a process and a Ray that live on."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.train.torch.config import _TorchBackend

import distrain
from distrain import lease
from distrain.errors import CheckpointError
from distrain.track.journal_reading import read_journal
from distrain.train import controller, run
from distrain.train.beat import read_beats

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]


def config(storage: Path, epochs: int) -> dict[str, Any]:
    return {
        "name": "digits",
        "storage": str(storage),
        "data": {"source": "sklearn:digits", "target": "target"},
        "model": {"name": "mlp", "hidden": [16]},
        "train": {"epochs": epochs, "global_batch_size": 128, "num_workers": 3},
    }


def placed() -> list[Any]:
    """The placement groups that still hold room."""
    groups = ray.util.placement_group_table().values()
    return [group for group in groups if group["state"] != "REMOVED"]


def wait_for_the_end_of(processes: set[int]) -> None:
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < deadline, "workers run on"
        time.sleep(0.1)


def test_who_loses_a_run_to_another_driver_ends_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, processes = lease.check, set[int]()

    def taken_over(run_dir: Path, fence: int) -> None:
        beats = read_beats(run_dir)
        if len(beats) == 3 and min(beat.step for beat in beats.values()) >= 3:
            processes.update(beat.process for beat in beats.values())
            raise CheckpointError("another driver has taken the run over")
        check(run_dir, fence)

    monkeypatch.setattr(lease, "check", taken_over)
    with pytest.raises(CheckpointError, match="taken the run over"):
        distrain.train(config(tmp_path, 100_000))

    assert len(processes) == 3
    assert not any(thread.name == "ray-train" for thread in threading.enumerate())
    assert placed() == []
    wait_for_the_end_of(processes)


class Frozen:
    """Stops the process of rank 1 in the first group of workers, before it can begin."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit_s: float) -> None:
        self.process: int | None = None
        self._limit_s = limit_s
        groups, name = controller._WorkerGroup, "_init_train_context_on_workers"
        self._go_on = getattr(groups, name)
        monkeypatch.setattr(groups, name, lambda *settings: self._freeze_once(*settings))

    def _freeze_once(self, group: Any, workers: list[Any], *settings: Any) -> None:
        if self.process is None:
            self.process = workers[1].metadata.pid
            os.kill(self.process, signal.SIGSTOP)
            terms = replace(group._terms, limit_s=self._limit_s)
            threading.Timer(1.0, setattr, [group, "_terms", terms]).start()
        self._go_on(group, workers, *settings)


@pytest.mark.long
def test_a_worker_that_is_frozen_while_it_begins_is_named_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = Frozen(monkeypatch, limit_s=0.0)

    result = distrain.train(config(tmp_path, 1))

    assert result.status == "finished"
    records, _ = read_journal(Path(result.run_dir) / "journal", {})
    notes = [record.payload["text"] for record in records if record.kind == "note"]
    (note,) = [note for note in notes if "have not begun" in note]
    # Given up at once: others may still import then, and be named too.
    assert "no answer from " in note
    assert "rank 1 on " in note
    assert note.endswith("training goes on from the newest checkpoint")
    assert frozen.process is not None
    wait_for_the_end_of({frozen.process})
    assert placed() == []


@pytest.mark.long
def test_a_run_can_be_left_while_a_worker_is_frozen_that_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = Frozen(monkeypatch, limit_s=1800.0)
    wait_for = run.wait

    def interrupted(futures: Any, timeout: float) -> Any:
        if frozen.process is not None and timeout == run.LEASE_LOOK_S:
            raise KeyboardInterrupt
        return wait_for(futures, timeout=timeout)

    monkeypatch.setattr(run, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distrain.train(config(tmp_path, 100_000))

    assert not any(thread.name == "ray-train" for thread in threading.enumerate())
    assert placed() == []
    assert frozen.process is not None
    wait_for_the_end_of({frozen.process})


@pytest.mark.long
def test_workers_that_do_not_meet_leave_their_room_to_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, meet = [0], _TorchBackend.on_start

    def fail_once(*arguments: Any) -> None:
        starts[0] += 1
        if starts[0] == 1:
            raise ray.exceptions.ActorDiedError
        meet(*arguments)

    monkeypatch.setattr(_TorchBackend, "on_start", fail_once)

    result = distrain.train(config(tmp_path, 1))

    assert (result.status, starts[0]) == ("finished", 2)
    assert placed() == []
