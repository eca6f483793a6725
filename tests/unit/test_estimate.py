"""What `--dry-run` foretells."""

from dataclasses import replace

import pytest

from distrain.estimate import worker_bytes
from distrain.train.job import TrainJob
from distrain.train.setup import Preflight

MODEL = Preflight(
    num_parameters=1_000_000,
    largest_block=10_000,
    input_shape=(6,),
    num_outputs=3,
    steps_per_epoch=10,
    total_steps=100,
    shapes={},
)


@pytest.mark.parametrize("num_workers", [2, 4, 8])
def test_a_sharded_run_ends_with_its_share_and_the_whole_model(num_workers: int) -> None:
    job = TrainJob("run", "data", {}, strategy="fsdp", logical_shards=8, restore_best=True)
    # Parameters, two states of AdamW and the best model; all parameters gathered.
    expected = 4 * (4 * 1_000_000 // num_workers + 1_000_000)
    assert worker_bytes(job, MODEL, num_workers) == expected


@pytest.mark.parametrize("num_workers", [2, 4])
def test_a_worker_of_a_sharded_run_keeps_its_share_and_a_block(num_workers: int) -> None:
    job = TrainJob("run", "data", {}, strategy="fsdp", logical_shards=8, restore_best=True)
    # Parameters, gradients, two states of AdamW and the best model; a block comes and goes.
    expected = 4 * (5 * 1_000_000 // num_workers + 4 * 250_000)
    model = replace(MODEL, largest_block=250_000)
    assert worker_bytes(job, model, num_workers) == expected


def test_a_worker_of_a_whole_model_keeps_all_of_it_and_partial_sums() -> None:
    job = TrainJob("run", "data", {}, logical_shards=4, restore_best=True)
    assert worker_bytes(job, MODEL, num_workers=1) == 4 * 1_000_000 * (5 + 2)
