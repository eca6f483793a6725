"""The loop on one GPU: the same fingerprint on repeated and on resumed runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distrain.train.loop import TrainJob, train
from distrain.train.world import World
from tests.prepared_examples import write_classified, write_images
from tests.training_group import Group, train_in_groups

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]

WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "compiled": {"compile": True},
    "compiled bf16": {"compile": True, "precision": "bf16"},
    "activation checkpointing": {"activation_checkpointing": True},
    "average": {"ema": {"decay": 0.9}},
    "shares": {"strategy": "fsdp"},
}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "hidden": [16], "dropout": 0.2, "norm": "batch"},
    "cnn": {"name": "cnn", "channels": [4, 8], "hidden": [16], "dropout": 0.2},
    "transformer": {"target": "tests.conformance_models:Transformer"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    rows = {"train": 203, "validation": 40, "test": 31}
    return {
        "table": write_classified(folder / "table", rows),
        "images": write_images(folder / "images", rows),
    }


@pytest.fixture
def job_of(data: dict[str, Path], tmp_path: Path) -> Callable[..., TrainJob]:
    def make(model: str, **changes: Any) -> TrainJob:
        fields: dict[str, Any] = {
            "epochs": 2,
            "global_batch_size": 48,
            "restore_best": True,
            "checkpoint_every_s": None,
            "checkpoint_every_steps": 2,
            **changes,
        }
        prepared = data["images" if model == "cnn" else "table"]
        return TrainJob(str(tmp_path / "run"), str(prepared), MODELS[model], **fields)

    return make


def on_gpu(job: TrainJob, run: str, stop_after: int | None = None) -> Any:
    asked = iter([False] * (stop_after or 0) + [stop_after is not None] + [False] * 100)
    moved = replace(job, run_dir=f"{job.run_dir}-{run}")
    return train(moved, World.single("cuda:0"), stop_requested=lambda: next(asked))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", MODELS)
def test_repeated_and_resumed_runs_have_one_fingerprint(
    job_of: Callable[..., TrainJob], model: str, way: str
) -> None:
    job = job_of(model, **WAYS[way])
    straight = on_gpu(job, "straight")
    assert on_gpu(job, "stopped", stop_after=4).status == "interrupted"
    for found in (on_gpu(job, "again"), on_gpu(job, "stopped")):
        assert found.weights_sha256 == straight.weights_sha256
        assert found.metrics == straight.metrics


@pytest.mark.parametrize("model", MODELS)
def test_activation_checkpointing_changes_no_bit(
    job_of: Callable[..., TrainJob], model: str
) -> None:
    plain = on_gpu(job_of(model), "plain")
    saving = on_gpu(job_of(model, activation_checkpointing=True), "saving")
    assert saving.weights_sha256 == plain.weights_sha256


def test_the_gpu_agrees_with_the_cpu_up_to_rounding(job_of: Callable[..., TrainJob]) -> None:
    job = replace(job_of("mlp"), model={"name": "mlp", "hidden": [16]})
    on_cpu = train(replace(job, run_dir=f"{job.run_dir}-cpu"), World.single("cpu"))
    assert on_gpu(job, "gpu").metrics["test/loss"] == pytest.approx(
        on_cpu.metrics["test/loss"], rel=1e-3
    )


@pytest.mark.parametrize("machine_size", [3, 2, 1])
def test_three_workers_that_share_a_gpu_have_the_bits_of_one(
    job_of: Callable[..., TrainJob], tmp_path: Path, machine_size: int
) -> None:
    job = job_of("mlp")
    alone = on_gpu(job, "alone")
    shared = replace(job, run_dir=f"{job.run_dir}-shared")
    group = Group(3, [shared], machine_size=machine_size, device="cuda:0")
    found = train_in_groups([group], tmp_path)[0][0]
    assert {one["weights_sha256"] for one in found} == {alone.weights_sha256}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no second GPU here")
def test_shares_on_two_gpus_come_to_the_numbers_of_the_whole_model(
    job_of: Callable[..., TrainJob], tmp_path: Path
) -> None:
    wide = {"name": "mlp", "hidden": [64, 64], "dropout": 0.2}
    optimizer = {"name": "sgd", "lr": 0.05}
    job = replace(job_of("mlp"), model=wide, optimizer=optimizer, metrics=["log_loss"])
    shared = replace(job, run_dir=f"{job.run_dir}-shared", strategy="fsdp")
    found = train_in_groups([Group(2, [shared], device="cuda")], tmp_path)[0][0]
    assert len({one["weights_sha256"] for one in found}) == 1
    assert found[0]["metrics"] == pytest.approx(on_gpu(job, "whole").metrics, rel=1e-3)
