"""What a model begins with, compared among workers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distrain.errors import CheckpointError
from distrain.train.job import TrainJob
from distrain.train.loop import train
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified
from tests.training_group import Group, train_in_groups

pytestmark = pytest.mark.slow

MODELS = ("DrawnByNumPy", "DrawnByPython", "DrawnByTheSystem")


def jobs(folder: Path) -> list[TrainJob]:
    data = write_classified(folder / "data", {"train": 50, "validation": 20, "test": 20})
    job_of = job_maker(folder, data, steps=3, epochs=None)
    plain = [job_of(name, model={"target": f"tests.user_models:{name}"}) for name in MODELS]
    args = {"path": str(folder / "kept.pt"), "kept": "frozen"}
    torch.save(torch.full((6,), 2.0), args["path"])
    return [
        *plain,
        job_of("sharded", model=plain[-1].model, strategy="fsdp"),
        job_of(
            "frozen", model={"target": "tests.user_models:Reads", "args": args}, strategy="fsdp"
        ),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("initial")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """By model, and by rank of two workers."""
    (found,) = train_in_groups([Group(2, jobs(folder))], folder)
    return dict(zip((*MODELS, "sharded", "frozen"), found, strict=True))


@pytest.mark.parametrize("name", MODELS[:2])
def test_a_model_may_draw_from_other_generators_than_torch_s(
    outcomes: dict[str, list[dict[str, Any]]], name: str, tmp_path: Path
) -> None:
    job = next(job for job in jobs(tmp_path) if job.run_dir.endswith(name))
    alone = train(job, World.single("cpu"))
    assert [rank["weights_sha256"] for rank in outcomes[name]] == [alone.weights_sha256] * 2


@pytest.mark.parametrize("name", ["DrawnByTheSystem", "sharded"])
def test_workers_that_make_a_model_differently_are_told_all(
    outcomes: dict[str, list[dict[str, Any]]], name: str
) -> None:
    for rank in outcomes[name]:
        assert rank["error"] == "ModelError"
        assert rank["message"].startswith(
            "model DrawnByTheSystem: worker of rank 1 made it with other weights than rank zero, "
            "from the same seed. Expected a model that each worker makes alike. Let it draw from"
        )


def test_what_is_frozen_is_the_same_however_many_workers_hold_it(
    outcomes: dict[str, list[dict[str, Any]]], folder: Path
) -> None:
    assert "error" not in outcomes["frozen"][0]
    job = jobs(folder)[-1]
    assert train(job, World.single("cpu")).resumed_from_step == 3
    torch.save(torch.full((6,), 3.0), job.model["args"]["path"])
    with pytest.raises(CheckpointError, match="another content of the model's frozen parameters"):
        train(job, World.single("cpu"))
