"""What a worker of Ray Train's finds out about itself, and leaves of its end; without Ray."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import ray
import ray.train
import ray.util
import torch

from distrain.errors import TrainError
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import read_journal
from distrain.train import hosts
from distrain.train.faults import read_failures
from distrain.train.job import TrainJob
from distrain.train.worker import STOP_FILE, StopFile, _train, own_device, train_fn_per_worker
from tests.failing_storage import remembering_what_was_not_there
from tests.prepared_examples import write_classified


@pytest.fixture(autouse=True)
def assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray Train say that this worker's GPU is the third of those it sees."""
    ray_torch = ModuleType("ray.train.torch")
    ray_torch.get_device = lambda: torch.device("cuda", 2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray.train.torch", ray_torch)


def test_a_worker_computes_on_the_gpu_that_ray_gave_it() -> None:
    assert own_device(has_gpu=True) == "cuda:2"


def test_a_worker_without_a_gpu_computes_on_the_cpu() -> None:
    assert own_device(has_gpu=False) == "cpu"


def test_a_stop_file_from_another_host_is_found_though_there_was_none_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.train.worker.STOP_INTERVAL_S", 0.0)
    stop_requested = StopFile(tmp_path / STOP_FILE)
    with remembering_what_was_not_there():
        assert not stop_requested()
        (tmp_path / STOP_FILE).touch()
        assert stop_requested()


def diverge(tmp_path: Path) -> None:
    """Train as the only worker, with a loss that is soon not finite."""
    data = write_classified(tmp_path / "data", {"train": 60})
    run_dir = tmp_path / "run"
    (run_dir / "logs").mkdir(parents=True)
    optimizer = {"name": "sgd", "lr": 1e38, "momentum": 0.0}
    job = TrainJob(str(run_dir), str(data), {"name": "linear"}, steps=9, optimizer=optimizer)
    context = SimpleNamespace(
        get_world_size=lambda: 1,
        get_world_rank=lambda: 0,
        get_local_rank=lambda: 0,
        get_node_rank=lambda: 0,
    )
    config = {
        "job": job.to_json(),
        "environment": {},
        "has_gpu": False,
        "collective_timeout_s": 9.0,
        "stream": None,
    }
    assert _train(config, context, run_dir, lambda _phase, _step: None) is None


def test_a_worker_makes_no_folder_for_a_run_that_it_does_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = TrainJob(str(tmp_path / "run"), "", {"name": "linear"})
    context = SimpleNamespace(get_world_rank=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    node = SimpleNamespace(get_node_id=lambda: "n1")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: node)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "192.0.2.7")
    monkeypatch.setattr(hosts, "PATIENCE_S", 0.0)

    with pytest.raises(TrainError, match="worker of rank 1 on host"):
        train_fn_per_worker({"job": job.to_json(), "environment": {}, "store": None})

    assert list(tmp_path.iterdir()) == []


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_at_the_end_does_not_hide_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JournalWriter, "close", full)

    diverge(tmp_path)

    (left,) = read_failures(tmp_path / "run")
    assert (left["cause"], left["raised"]) == ("user", "not_finite")


def test_a_fault_that_cannot_be_recorded_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_text", full)

    with pytest.raises(TrainError, match="the loss is"):
        diverge(tmp_path)


def test_a_worker_that_was_taken_for_lost_blames_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.train.worker.lease", SimpleNamespace(is_held=lambda *_: False))

    with pytest.raises(TrainError, match="the loss is"):
        diverge(tmp_path)

    assert read_failures(tmp_path / "run") == []
    assert read_journal(tmp_path / "run" / "journal", {})[0] == []
