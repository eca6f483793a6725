"""What a worker of Ray Train's finds out about itself; without Ray."""

import sys
from types import ModuleType

import pytest
import torch

from distrain.train.worker import own_device


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
