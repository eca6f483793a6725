"""`strategy: fsdp`: the numbers of the whole model up to rounding, on any number of workers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from distrain.data.prepared import PreparedDataset
from distrain.errors import ModelError, TrainError
from distrain.models.build import build_model
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.loop import train
from distrain.train.preflight import try_first_batch
from distrain.train.sharded import LEAST_BLOCK_ELEMENTS, check_can_be_cut, largest_block
from distrain.train.world import World
from tests.prepared_examples import write_classified, write_images
from tests.training_group import Group, train_in_groups

CPU = World.single("cpu")
ROWS = {"train": 50, "validation": 1029, "test": 31}  # batches of 16, and one of 2
TOTAL_STEPS = 3 * 4
TIMEOUT_S = 400
WIDE = {"name": "mlp", "hidden": [64, 64, 64], "dropout": 0.3, "norm": "batch"}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"model": WIDE, "gradient_clip_norm": 0.1, "ledger": True},
    "cnn": {"model": {"name": "cnn", "channels": [4, 32], "hidden": [64], "dropout": 0.2}},
    "lstm": {"model": {"target": "tests.conformance_models:Recurrent"}},
    "transformer, blocks run again, averaged": {
        "model": {"target": "tests.conformance_models:Transformer", "args": {"width": 32}},
        "activation_checkpointing": True,
        "ema": {"decay": 0.9},
    },
    "weights used twice": {"model": {"target": "tests.user_models:Tied"}},
    "bf16": {"model": WIDE, "precision": "bf16"},
    # Without batch norm, under which a bias has a gradient of rounding errors alone.
    "adam": {"model": {**WIDE, "norm": None}, "optimizer": {"name": "adamw", "lr": 1e-3}},
}


def jobs(folder: Path, names: Sequence[str], **changes: Any) -> list[TrainJob]:
    """Return a sharded job for each name, all in one folder; change it with `moved`."""
    table = write_classified(folder / "table", ROWS)
    images = write_images(folder / "images", ROWS)
    fields: dict[str, Any] = {
        "epochs": 3,
        "seed": 5,
        "global_batch_size": 16,
        "strategy": "fsdp",
        "restore_best": True,
        "metrics": ["log_loss"],
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "checkpoint_every_s": None,
        "checkpoint_every_steps": 5,
        **changes,
    }
    return [
        TrainJob(name, str(images if name == "cnn" else table), **{**fields, **MODELS[name]})
        for name in names
    ]


def moved(made: Sequence[TrainJob], folder: Path, **changes: Any) -> list[TrainJob]:
    return [replace(job, run_dir=str(folder / job.run_dir), **changes) for job in made]


def whole(job: TrainJob, folder: Path) -> TrainOutcome:
    """Train the same without sharding, on one worker."""
    return train(replace(job, strategy="ddp", run_dir=str(folder / "whole" / job.run_dir)), CPU)


def assert_near(found: dict[str, Any], wanted: TrainOutcome, tolerance: float = 1e-4) -> None:
    assert found["step"] == wanted.step
    assert found["best_step"] == wanted.best_step
    assert found["metrics"] == pytest.approx(wanted.metrics, rel=tolerance, abs=tolerance)
    ours, theirs = load_file(found["weights_file"]), load_file(wanted.weights_file)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrainJob], list[Any]]:
    """The folder, the jobs, and their outcomes by rank on three workers, of which the last step of
    an epoch leaves the last without a part; the last job is of `reduction: fast`."""
    folder = tmp_path_factory.mktemp("sharded")
    made = jobs(folder, list(MODELS))
    fast = replace(made[0], run_dir="fast", reduction="fast", model={**WIDE, "dropout": 0.0})
    made.append(replace(fast, model={**fast.model, "norm": None}))
    (outcomes,) = train_in_groups([Group(3, moved(made, folder / "runs"))], folder, TIMEOUT_S)
    return folder, made, outcomes


def outcome(sharded: tuple[Path, list[TrainJob], list[Any]], name: str) -> list[dict[str, Any]]:
    _, made, outcomes = sharded
    ranks: list[dict[str, Any]] = outcomes[[job.run_dir for job in made].index(name)]
    return ranks


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", list(MODELS))
def test_shares_come_to_the_numbers_of_the_whole_model(
    sharded: tuple[Path, list[TrainJob], list[Any]], name: str, tmp_path: Path
) -> None:
    ranks = outcome(sharded, name)
    job = next(job for job in sharded[1] if job.run_dir == name)
    assert len({one["weights_sha256"] for one in ranks}) == 1
    assert all(one["metrics"] == ranks[0]["metrics"] for one in ranks)
    # Half precision rounds what the order of additions has changed to other halves.
    assert_near(ranks[0], whole(job, tmp_path), 0.02 if name == "bf16" else 1e-4)


@pytest.mark.slow
@pytest.mark.long
def test_fast_reduction_makes_each_worker_s_rows_one_part(
    sharded: tuple[Path, list[TrainJob], list[Any]], tmp_path: Path
) -> None:
    job = next(job for job in sharded[1] if job.run_dir == "fast")
    assert_near(outcome(sharded, "fast")[0], whole(job, tmp_path))


@pytest.mark.slow
@pytest.mark.long
def test_the_ledger_has_each_row_once_an_epoch(
    sharded: tuple[Path, list[TrainJob], list[Any]],
) -> None:
    assert_each_row_once(sharded[0] / "runs" / "mlp" / "ledger")


def assert_each_row_once(ledger: Path) -> None:
    table = pa.concat_tables([pq.read_table(path) for path in sorted(ledger.glob("*.parquet"))])
    found = Counter(zip(table["epoch"].to_pylist(), table["row"].to_pylist(), strict=True))
    assert found == Counter((epoch, row) for epoch in (1, 2, 3) for row in range(ROWS["train"]))


@pytest.mark.slow
@pytest.mark.long
def test_a_worker_holds_its_share_of_the_optimizer_s_state(
    sharded: tuple[Path, list[TrainJob], list[Any]],
) -> None:
    folder = sharded[0] / "runs" / "adam" / "checkpoints" / f"step-{TOTAL_STEPS}"
    sizes = [_optimizer_bytes(path) for path in sorted(folder.glob("*.safetensors"))]
    assert len(sizes) == 3
    assert max(sizes) < 1.1 * sum(sizes) / 3


def _optimizer_bytes(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("optimizer.")]  # noqa: SIM118
        return sum(file.get_tensor(name).nbytes for name in names)


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_run_goes_on_with_any_other_number_of_workers(tmp_path: Path) -> None:
    """Killed after 7 of 12 steps on three workers, at a checkpoint of 5, and once more."""
    made = jobs(tmp_path, ["mlp", "adam"], ledger=True, restore_best=True)
    wanted = [whole(job, tmp_path) for job in made]
    sizes = [(3, 2, 4), (3, 1, 3), (3, 4, 1), (1, 2, 3)]
    groups = [
        Group(size, moved(made, tmp_path / str(number)), killed_after=killed)
        for number, worlds in enumerate(sizes)
        for size, killed in zip(worlds, (7, 6, None), strict=True)
    ]
    found = train_in_groups(groups, tmp_path, TIMEOUT_S)
    for number in range(len(sizes)):
        for job, ranks, straight in zip(made, found[3 * number + 2], wanted, strict=True):
            assert ranks[0]["resumed_from_step"] == 10
            assert_near(ranks[0], straight)
            assert_each_row_once(tmp_path / str(number) / job.run_dir / "ledger")


@pytest.mark.slow
@pytest.mark.long
def test_a_worker_alone_takes_up_what_three_have_written(
    sharded: tuple[Path, list[TrainJob], list[Any]],
) -> None:
    folder, made, _ = sharded
    job = replace(made[0], run_dir=str(folder / "runs" / "mlp"), checkpoint_every_steps=None)
    again = train(job, CPU)
    assert again.resumed_from_step == TOTAL_STEPS
    assert again.weights_sha256 == outcome(sharded, "mlp")[0]["weights_sha256"]


def troublesome(folder: Path) -> list[TrainJob]:
    """Jobs with losses that are not finite, one that stops early, and models that do not fit."""
    (job,) = jobs(folder, ["mlp"], restore_best=False)
    diverging = replace(
        job,
        run_dir="diverging",
        gradient_clip_norm=None,
        optimizer={"name": "sgd", "lr": 1e38, "momentum": 0.0},
    )
    skipping = replace(diverging, run_dir="skipping", on_spike="skip")
    early = replace(
        job,
        run_dir="early",
        epochs=30,
        optimizer={"name": "adam", "lr": 0.05},
        early_stopping={
            "metric": "validation/log_loss", "mode": "min", "patience": 1, "min_delta": 0.0
        },
    )  # fmt: skip
    # With three parts, each step has a pass that counts nothing, on rows 0 and 1.
    row = PreparedDataset.open(job.prepared_dir).split("train").slice(0, 1)
    bad_row = replace(
        job,
        run_dir="bad row",
        model={
            "target": "tests.user_models:InfiniteAt", "args": {"number": float(row["x"][0, 0])}
        },
        optimizer={"name": "sgd", "lr": 0.001, "momentum": 0.0},
        gradient_clip_norm=None,
        global_batch_size=15,
        logical_shards=3,
        seed=7,
    )  # fmt: skip
    misfits = [
        replace(job, run_dir=name, model={"target": f"tests.user_models:{name}"})
        for name in ("BlocksInAnyOrder", "UsesWeightsOfABlock")
    ]
    return [diverging, skipping, early, bad_row, *misfits]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Outcomes by job and rank, on two workers."""
    folder = tmp_path_factory.mktemp("troubled")
    return train_in_groups([Group(2, moved(troublesome(folder), folder / "runs"))], folder)[0]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("number", "step"), [(0, "step 2"), (3, "step 3")])
def test_a_loss_that_is_not_finite_is_traced_to_the_rows_that_a_whole_model_names(
    troubled: list[Any], tmp_path: Path, number: int, step: str
) -> None:
    with pytest.raises(TrainError, match=step) as told:
        whole(troublesome(tmp_path)[number], tmp_path)
    assert {one["error"] for one in troubled[number]} == {"TrainError"}
    assert {one["message"] for one in troubled[number]} == {str(told.value)}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "told"), [(4, "in another order"), (5, "outside of the block's own forward")]
)
def test_a_model_that_cannot_be_put_together_block_by_block_is_refused_on_all_workers(
    troubled: list[Any], number: int, told: str
) -> None:
    assert [one["error"] for one in troubled[number]] == ["ModelError"] * 2
    assert all(told in one["message"] for one in troubled[number])


@pytest.mark.slow
@pytest.mark.long
def test_a_step_that_is_skipped_leaves_all_workers_in_step(troubled: list[Any]) -> None:
    assert [one["status"] for one in troubled[1]] == ["finished"] * 2
    assert len({one["weights_sha256"] for one in troubled[1]}) == 1


@pytest.mark.slow
@pytest.mark.long
def test_early_stopping_ends_all_workers_at_one_step(troubled: list[Any]) -> None:
    assert {one["status"] for one in troubled[2]} == {"stopped_early"}
    assert len({one["step"] for one in troubled[2]}) == 1


def test_a_parameter_that_is_a_single_number_cannot_be_cut() -> None:
    model = build_model(
        {"target": "tests.user_models:SingleNumber"}, input_shape=(6,), num_outputs=3, seed=0
    )
    with pytest.raises(ModelError, match=r"parameter scale is a single number"):
        check_can_be_cut(model)


def test_a_model_of_which_chance_decides_the_blocks_is_refused_before_the_launch(
    tmp_path: Path,
) -> None:
    (job,) = jobs(tmp_path, ["mlp"])
    job = replace(job, model={"target": "tests.user_models:BlocksLeftOut"})
    with pytest.raises(ModelError, match=r"chance decides which blocks"):
        try_first_batch(job)
    try_first_batch(replace(job, strategy="ddp"))


def test_the_largest_block_is_a_block_or_what_is_outside_of_blocks() -> None:
    block = nn.Linear(64, 64)
    assert LEAST_BLOCK_ELEMENTS <= 64 * 64
    assert largest_block(nn.Sequential(block, block, nn.Linear(64, 3))) == 64 * 65 + 64 * 3 + 3
    assert largest_block(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 3))) == 64 * 65
