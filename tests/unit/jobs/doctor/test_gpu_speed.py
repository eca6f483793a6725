"""The measure of devices, on this machine's CPU: the processes are the same, and meet over gloo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from distrain.jobs.doctor import gpu_speed
from distrain.jobs.doctor.asking import speed_of
from distrain.jobs.doctor.node_probe import run_alone


def test_a_product_of_matrices_takes_time() -> None:
    assert 0 < gpu_speed.matmul_tflops("cpu") < 100


@pytest.mark.slow
def test_two_processes_are_measured_and_the_link_between_them() -> None:
    measured = gpu_speed.measure("cpu", 2)

    assert len(measured["tflops"]) == 2
    assert measured["link"] > 0


@pytest.mark.slow
def test_its_source_runs_by_itself_as_it_does_on_a_node() -> None:
    source = Path(gpu_speed.__file__).read_text(encoding="utf-8")

    measured = run_alone(source, ["cpu", "1"], 60.0)

    assert measured["link"] is None
    assert len(speed_of("node-1", measured).tflops) == 1


def test_a_program_that_fails_tells_its_last_line() -> None:
    assert run_alone("raise ValueError('no such card')", [], 30.0) == {
        "error": "ValueError: no such card"
    }
    assert speed_of("node-1", {"error": "no such card"}).why == (
        "they could not be measured (no such card)"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_gpus_are_measured() -> None:
    command = [sys.executable, gpu_speed.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert min(json.loads(done.stdout)["tflops"]) > 1
