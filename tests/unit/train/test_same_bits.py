"""One fingerprint of the final weights, and of every metric, on 1, 2 and 3 workers."""

from pathlib import Path
from typing import Any

import pytest

from distrain.train.loop import TrainJob, train
from distrain.train.world import World
from tests.prepared_examples import write_classified, write_images, write_regression
from tests.training_group import train_in_group

WORLD_SIZES = (1, 2, 3)
NAMES = ("mlp", "cnn", "mlp with batch norm and five parts", "regression", "stopped early")
EVERY_METRIC = ["accuracy", "f1", "roc_auc", "log_loss"]


def jobs(data: Path, runs: Path) -> list[TrainJob]:
    """Dropout, batch norm, a short last batch, row counts that nothing divides."""
    rows = {"train": 333, "validation": 1029, "test": 2050}
    table = write_classified(data / "table", rows, shard_rows=100)
    images = write_images(data / "images", {"train": 203, "validation": 40, "test": 31})
    numbers = write_regression(data / "numbers", {"train": 130, "validation": 33, "test": 1025})
    mlp = {"name": "mlp", "hidden": [32, 32], "dropout": 0.3}
    cnn = {"name": "cnn", "channels": [4, 8], "hidden": [16], "dropout": 0.2}
    shared: dict[str, Any] = {"epochs": 3, "seed": 5, "restore_best": True, "checkpoint_every_s": None}
    return [
        TrainJob(
            str(runs / "mlp"), str(table), mlp, global_batch_size=64, metrics=EVERY_METRIC, **shared
        ),
        TrainJob(
            str(runs / "cnn"), str(images), cnn, global_batch_size=50, ledger=True, **shared
        ),
        TrainJob(
            str(runs / "norm"),
            str(table),
            {**mlp, "norm": "batch"},
            global_batch_size=83,  # four steps and one row, which joins the last of them
            logical_shards=5,
            gradient_clip_norm=0.5,
            loss={"name": "cross_entropy", "class_weights": "balanced", "label_smoothing": 0.1},
            **shared,
        ),
        TrainJob(
            str(runs / "numbers"),
            str(numbers),
            {"name": "mlp", "hidden": [8], "residual": True},
            global_batch_size=43,
            optimizer={"name": "sgd", "lr": 0.01},
            lr_schedule={"name": "cosine", "warmup_steps": 2},
            **shared,
        ),
        TrainJob(
            str(runs / "early"),
            str(table),
            mlp,
            global_batch_size=64,
            optimizer={"name": "adam", "lr": 0.05},
            early_stopping={
                "metric": "validation/roc_auc", "mode": "max", "patience": 1, "min_delta": 0.0
            },
            **{**shared, "epochs": 30},
        ),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[list[dict[str, Any]]]]:
    alone = tmp_path_factory.mktemp("on-1")
    found = {1: [[train(job, World.single("cpu")).to_json()] for job in jobs(alone, alone)]}
    for world_size in WORLD_SIZES[1:]:
        folder = tmp_path_factory.mktemp(f"on-{world_size}")
        found[world_size] = train_in_group(world_size, jobs(folder, folder), folder)
    return found


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_weights_and_metrics_do_not_depend_on_the_number_of_workers(
    outcomes: dict[int, list[list[dict[str, Any]]]], number: int
) -> None:
    straight = outcomes[1][number][0]
    everywhere = [rank for size in WORLD_SIZES for rank in outcomes[size][number]]
    assert {rank["weights_sha256"] for rank in everywhere} == {straight["weights_sha256"]}
    assert [rank["metrics"] for rank in everywhere] == [straight["metrics"]] * len(everywhere)
    assert {rank["step"] for rank in everywhere} == {straight["step"]}


def test_early_stopping_ends_all_workers_at_the_same_step(
    outcomes: dict[int, list[list[dict[str, Any]]]],
) -> None:
    everywhere = [rank for size in WORLD_SIZES for rank in outcomes[size][4]]
    assert {rank["status"] for rank in everywhere} == {"stopped_early"}
    assert {rank["step"] < rank["total_steps"] for rank in everywhere} == {True}
