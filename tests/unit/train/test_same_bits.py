"""One fingerprint of the final weights, and of every metric, on 1 to 4 workers and 2 machines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.torch import save_file

from distrain.errors import TrainError
from distrain.models.build import build_model
from distrain.models.weights import weights_sha256
from distrain.train.loop import TrainJob, train
from distrain.train.world import World
from tests.prepared_examples import write_classified, write_images, write_regression
from tests.training_group import Group, train_in_groups

pytestmark = pytest.mark.slow  # `tests/integration/test_train.py` compares 1 and 3 workers

NAMES = (
    "mlp", "cnn", "mlp with batch norm and five parts", "regression", "stopped early", "not finite",
    "fast", "broken metric", "shares", "frozen, and rates by name",
)  # fmt: skip
EVERY_METRIC = ["accuracy", "f1", "roc_auc", "log_loss"]


def jobs(data: Path, runs: Path) -> list[TrainJob]:
    """Dropout, batch norm, a short last batch, row counts that nothing divides."""
    rows = {"train": 333, "validation": 1029, "test": 2050}
    table = write_classified(data / "table", rows, shard_rows=100)
    images = write_images(data / "images", {"train": 203, "validation": 40, "test": 31})
    numbers = write_regression(data / "numbers", {"train": 130, "validation": 33, "test": 1025})
    mlp = {"name": "mlp", "hidden": [32, 32], "dropout": 0.3}
    cnn = {"name": "cnn", "channels": [4, 8], "hidden": [16], "dropout": 0.2}
    shared: dict[str, Any] = {
        "epochs": 3,
        "seed": 5,
        "restore_best": True,
        "checkpoint_every_s": None,
    }
    return [
        TrainJob(
            str(runs / "mlp"), str(table), mlp, global_batch_size=64, metrics=EVERY_METRIC, **shared
        ),
        TrainJob(
            str(runs / "cnn"),
            str(images),
            cnn,
            global_batch_size=50,
            ledger=True,
            checkpoint_every_steps=4,
            **shared,
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
            loss={"target": "torch.nn.functional:mse_loss"},  # a mean over rows
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
            **{**shared, "epochs": 30, "checkpoint_every_s": 0.02},
        ),
        TrainJob(
            str(runs / "diverging"),
            str(table),
            {"name": "linear"},
            optimizer={"name": "sgd", "lr": 1e38, "momentum": 0.0},
            **shared,
        ),
        TrainJob(
            str(runs / "fast"),
            str(table),
            {"name": "mlp", "hidden": [32], "norm": "batch"},
            global_batch_size=64,
            reduction="fast",
            ledger=True,
            **shared,
        ),
        TrainJob(
            str(runs / "broken"),
            str(table),
            {"name": "linear"},
            metrics=[{"target": "tests.user_models:broken_metric"}],
            **shared,
        ),
        TrainJob(
            str(runs / "shares"),
            str(table),
            {"name": "mlp", "hidden": [64, 64], "dropout": 0.3, "norm": "batch"},
            global_batch_size=110,  # the last batch has 3 rows, and one part
            optimizer={"name": "sgd", "lr": 0.05},
            strategy="fsdp",
            gradient_clip_norm=0.5,
            metrics=["log_loss"],
            ledger=True,
            checkpoint_every_steps=5,
            **{**shared, "epochs": 2},
        ),
        TrainJob(
            str(runs / "frozen"),
            str(table),
            {**mlp, "norm": "batch"},
            global_batch_size=64,
            init_from=begun_with(data, mlp),
            freeze=["1.*"],
            lr_by_name={"3.*": 1e-2, "*.bias": 1e-4},
            **shared,
        ),
    ]  # fmt: skip


def begun_with(folder: Path, mlp: dict[str, Any]) -> dict[str, Any]:
    """Write weights for other classes; return how a job names them."""
    state = build_model(
        {**mlp, "norm": "batch"}, input_shape=(6,), num_outputs=5, seed=1
    ).state_dict()
    path = folder / "pretrained.safetensors"
    save_file(state, path)
    return {"path": str(path), "sha256": weights_sha256(state), "anew": [], "unused": []}


Outcomes = dict[str, list[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """By group, job and rank; groups share memory, or are as if on machines of their own.

    `2 + 1` stands for two machines, of two workers and of one.
    """
    data, runs = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("runs")
    made = jobs(data, runs)
    groups = {
        name: Group(size, _moved(made, runs / name), machine_size=machine_size)
        for name, size, machine_size in (
            ("2 + 2", 4, 2),
            ("2 + 1", 3, 2),
            ("3", 3, 3),
            ("1 + 1", 2, 1),
        )
    }
    found = train_in_groups(list(groups.values()), runs)
    return {"alone": [[_outcome(job)] for job in made], **dict(zip(groups, found, strict=True))}


def _moved(made: list[TrainJob], folder: Path) -> list[TrainJob]:
    return [replace(job, run_dir=str(folder / Path(job.run_dir).name)) for job in made]


def _outcome(job: TrainJob) -> dict[str, Any]:
    try:
        return train(job, World.single("cpu")).to_json()
    except TrainError as error:
        return {"error": type(error).__name__, "message": str(error)}


def everywhere(outcomes: Outcomes, name: str) -> list[dict[str, Any]]:
    return [rank for group in outcomes.values() for rank in group[NAMES.index(name)]]


@pytest.mark.parametrize("name", [*NAMES[:5], NAMES[-1]])
def test_weights_and_metrics_do_not_depend_on_the_number_of_workers(
    outcomes: Outcomes, name: str
) -> None:
    straight = outcomes["alone"][NAMES.index(name)][0]
    for found in everywhere(outcomes, name):
        assert found["weights_sha256"] == straight["weights_sha256"]
        assert found["metrics"] == straight["metrics"]
        assert found["step"] == straight["step"]


def test_early_stopping_ends_all_workers_at_the_same_step(outcomes: Outcomes) -> None:
    found = everywhere(outcomes, "stopped early")
    assert {one["status"] for one in found} == {"stopped_early"}
    assert all(one["step"] < one["total_steps"] for one in found)


def test_a_loss_that_is_not_finite_is_one_decision_at_one_step(outcomes: Outcomes) -> None:
    found = everywhere(outcomes, "not finite")
    assert {one["error"] for one in found} == {"TrainError"}
    assert len({one["message"] for one in found}) == 1


def test_a_metric_that_fails_on_rank_zero_ends_all_workers_with_its_error(
    outcomes: Outcomes,
) -> None:
    found = everywhere(outcomes, "broken metric")
    assert {one["error"] for one in found} == {"TrainError"}
    assert len({one["message"] for one in found}) == 1
    assert "broken_metric failed: ValueError: no such column" in found[0]["message"]


def test_the_ledger_of_several_workers_has_each_row_once_an_epoch(outcomes: Outcomes) -> None:
    table = _ledger(outcomes["3"][NAMES.index("cnn")][0])
    for epoch in (1, 2, 3):
        rows = table.filter(pc.equal(table["epoch"], epoch))["row"].to_pylist()
        assert sorted(rows) == list(range(203))


def test_fast_reduction_gives_all_workers_one_model_that_is_near_that_of_one(
    outcomes: Outcomes,
) -> None:
    straight = outcomes["alone"][NAMES.index("fast")][0]
    for group in outcomes.values():
        found = group[NAMES.index("fast")]
        assert len({one["weights_sha256"] for one in found}) == 1
        assert found[0]["metrics"] == pytest.approx(straight["metrics"], rel=0.1)


def test_fast_reduction_keeps_the_order_of_rows(outcomes: Outcomes) -> None:
    ledgers = [_ledger(group[NAMES.index("fast")][0]) for group in outcomes.values()]
    orders = [_in_order(table) for table in ledgers]
    assert all(order == orders[0] for order in orders)


def test_shares_of_a_model_come_to_the_numbers_of_the_whole_one(outcomes: Outcomes) -> None:
    straight = outcomes["alone"][NAMES.index("shares")][0]
    for group in outcomes.values():
        found = group[NAMES.index("shares")]
        assert len({one["weights_sha256"] for one in found}) == 1
        assert found[0]["metrics"] == pytest.approx(straight["metrics"], rel=1e-4)
        assert _in_order(_ledger(found[0])) == _in_order(_ledger(straight))


def _ledger(outcome: dict[str, Any]) -> pa.Table:
    folder = Path(outcome["weights_file"]).parent.parent / "ledger"
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def _in_order(ledger: pa.Table) -> list[tuple[int, int]]:
    """Return (step, row) as they were trained on; rows of one part stay as they are written."""
    rows = sorted(ledger.to_pylist(), key=lambda row: (row["step"], row["logical_shard"]))
    return [(row["step"], row["row"]) for row in rows]
