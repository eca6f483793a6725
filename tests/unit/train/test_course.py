"""What changes in the course of a run: in force from its step on, and the same after a resume."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import CheckpointError
from distrain.train.checkpoint import committed_steps
from distrain.train.course import config_digest_at
from distrain.train.loop import TrainJob, train
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified

CPU = World.single("cpu")
SLOW = pytest.mark.slow
STEPS_PER_EPOCH = 8
ADAMW = {"name": "adamw", "lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
RMSPROP = {
    "name": "rmsprop", "lr": 0.01, "alpha": 0.9, "momentum": 0.5, "eps": 1e-8, "weight_decay": 0.0,
}  # fmt: skip
MLP = {"name": "mlp", "hidden": [8], "dropout": 0.2, "norm": "batch"}

Maker = Callable[..., TrainJob]


def change(step: int, digest: str, **fields: Any) -> dict[str, Any]:
    usual = {"optimizer": ADAMW, "gradient_clip_norm": None, "dropout": 0.2}
    return {"step": step, "config_digest": digest, **usual, **fields}


CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "lr": ({"optimizer": ADAMW}, [change(8, "b", optimizer={**ADAMW, "lr": 0.1})]),
    "weight_decay": (
        {"optimizer": ADAMW}, [change(8, "b", optimizer={**ADAMW, "weight_decay": 0.9})],
    ),
    "betas": (
        {"optimizer": ADAMW}, [change(8, "b", optimizer={**ADAMW, "betas": [0.5, 0.9]})],
    ),
    "momentum": (
        {"optimizer": SGD},
        [
            change(8, "b", optimizer={**SGD, "momentum": 0.9, "nesterov": True}),
            change(12, "c", optimizer={**SGD, "momentum": 0.0}),
            change(16, "d", optimizer={**SGD, "momentum": 0.5}),
        ],
    ),
    "alpha": ({"optimizer": RMSPROP}, [change(8, "b", optimizer={**RMSPROP, "alpha": 0.5})]),
    "clip": ({"optimizer": ADAMW}, [change(8, "b", gradient_clip_norm=1e-3)]),
    "dropout": ({"optimizer": ADAMW}, [change(8, "b", dropout=0.8)]),
    "dropout from 0": (
        {"optimizer": ADAMW, "model": {**MLP, "dropout": 0.0}},
        [change(8, "b", dropout=0.5), change(16, "c", dropout=0.0)],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"train": 123, "validation": 40, "test": 33}
    return write_classified(tmp_path_factory.mktemp("data"), rows, shard_rows=50)


@pytest.fixture
def job_of(data: Path, tmp_path: Path) -> Maker:
    return job_maker(tmp_path, data, model=MLP, config_digest="a")


def stopped_after(steps: int) -> Callable[[], bool]:
    left = [steps]

    def ask() -> bool:
        left[0] -= 1
        return left[0] < 0

    return ask


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_in_force_from_its_step_on(job_of: Maker, name: str) -> None:
    fields, changes = CASES[name]
    plain = train(job_of("plain", **fields, steps=8), CPU)
    until = train(job_of("until", **fields, steps=8, changes=changes), CPU)
    beyond = train(job_of("beyond", **fields, steps=9), CPU)
    changed = train(job_of("changed", **fields, steps=9, changes=changes), CPU)

    assert until.weights_sha256 == plain.weights_sha256
    assert changed.weights_sha256 != beyond.weights_sha256


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("step", [9, *(pytest.param(n, marks=SLOW) for n in (5, 8, 13, 17))])
def test_a_run_that_goes_on_has_the_same_course(job_of: Maker, name: str, step: int) -> None:
    fields, changes = CASES[name]
    straight = train(job_of("straight", **fields, changes=changes), CPU)
    job = job_of("resumed", **fields, changes=changes)
    assert train(job, CPU, stop_requested=stopped_after(step)).status == "interrupted"

    resumed = train(job, CPU)

    assert resumed.resumed_from_step == step + 1
    assert resumed.weights_sha256 == straight.weights_sha256
    assert resumed.metrics == straight.metrics


def test_a_change_to_what_was_is_none(job_of: Maker) -> None:
    plain = train(job_of("plain", optimizer=ADAMW), CPU)

    same = train(job_of("same", optimizer=ADAMW, changes=[change(8, "b")]), CPU)

    assert same.weights_sha256 == plain.weights_sha256


@pytest.mark.parametrize("name", CASES)
def test_a_state_that_was_taken_over_is_that_of_the_whole_course(job_of: Maker, name: str) -> None:
    """What population-based training rests on: a copied state is a run with the same changes."""
    fields, changes = CASES[name]
    straight = train(job_of("straight", **fields, changes=changes), CPU)
    source = job_of("source", **fields)
    train(source, CPU, stop_requested=stopped_after(7))
    taken = job_of("taken", **fields, changes=changes)
    shutil.copytree(Path(source.run_dir) / "checkpoints", Path(taken.run_dir) / "checkpoints")

    went_on = train(taken, CPU)

    assert went_on.resumed_from_step == 8
    assert went_on.weights_sha256 == straight.weights_sha256


def test_a_checkpoint_knows_the_part_of_the_course_that_it_is_of(job_of: Maker) -> None:
    job = job_of(changes=[change(8, "b"), change(16, "c")])

    found = [config_digest_at(job, step) for step in (0, 1, 8, 9, 16, 17)]

    assert found == ["a", "a", "a", "b", "b", "c"]


def test_a_state_of_another_course_is_refused(job_of: Maker) -> None:
    one = job_of("run", changes=[change(8, "b")])
    train(one, CPU, stop_requested=stopped_after(9))
    other = job_of("run", changes=[change(8, "other")])

    with pytest.raises(CheckpointError, match="made with another configuration"):
        train(other, CPU)

    assert committed_steps(Path(one.run_dir)) == [10]


def test_a_job_carries_its_course_as_json(job_of: Maker) -> None:
    job = job_of(changes=[change(8, "b")])

    assert TrainJob.from_json(json.loads(json.dumps(job.to_json()))).changes == job.changes
