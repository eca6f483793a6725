"""Training on Datasets of the user's own, and by steps of the user's own: the same bits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.config.data import DataSettings
from distrain.data.prepare import prepare
from distrain.errors import DataError, DistrainError, ModelError
from distrain.train.job import TrainJob
from distrain.train.loop import train
from distrain.train.preflight import try_first_batch
from distrain.train.world import World
from tests.training_group import Group, train_in_groups

pytestmark = pytest.mark.usefixtures("user_code")

OWN = "own_datasets"
MLP = {"name": "mlp", "hidden": [8], "norm": "batch", "dropout": 0.2}


def job(
    folder: Path,
    name: str,
    model: dict[str, Any],
    data: dict[str, Any] | None = None,
    **fields: Any,
) -> TrainJob:
    """Return a job of two epochs of three steps and a short one."""
    section = {"target": f"{OWN}:{name}", "args": (data or {}).pop("args", {})}
    asked = DataSettings.model_validate(
        {"dataset": section, "split": {"validation": 0.1, "test": 0.1}, **(data or {})}
    )
    dataset = prepare(asked, cache=folder / "cache").dataset
    given: dict[str, Any] = {
        "epochs": 2,
        "seed": 5,
        "global_batch_size": 14,
        "restore_best": True,
        "checkpoint_every_s": None,
        "checkpoint_every_steps": 2,
        **fields,
    }
    return TrainJob(str(folder / "runs" / name), str(dataset.path), model, **given)


def jobs(folder: Path) -> list[TrainJob]:
    bag, step = {"target": f"{OWN}:Bag"}, {"target": f"{OWN}:Autoencoder"}
    return [
        job(folder, "Noisy", MLP),
        replace(job(folder, "Noisy", MLP), run_dir=str(folder / "ahead"), loader_workers=1),
        job(folder, "SometimesNoisy", {"name": "linear"}),
        job(folder, "Numbers", {"target": f"{OWN}:TwoSided"}),
        job(folder, "Sentences", bag, {"collate": f"{OWN}:padded"}),
        job(folder, "Alone", step, step=f"{OWN}:denoising"),
        job(
            folder,
            "Plain",
            MLP,
            optimizer={"target": f"{OWN}:Layerwise", "lr": 0.05, "args": {"trust": 0.5}},
            lr_schedule={
                "target": "torch.optim.lr_scheduler:ExponentialLR",
                "args": {"gamma": 0.9},
            },
        ),
    ]


def moved(made: list[TrainJob], folder: Path) -> list[TrainJob]:
    return [replace(one, run_dir=str(folder / Path(one.run_dir).name)) for one in made]


@pytest.mark.slow
@pytest.mark.long
def test_any_number_of_workers_and_a_kill_leave_the_same_bits(tmp_path: Path) -> None:
    made = jobs(tmp_path)
    groups = [
        Group(1, moved(made, tmp_path / "1")),
        Group(2, moved(made, tmp_path / "2")),
        Group(3, moved(made, tmp_path / "3")),
        Group(2, moved(made, tmp_path / "killed"), killed_after=5),
        Group(3, moved(made, tmp_path / "killed")),
    ]

    outcomes = train_in_groups(groups, tmp_path)

    ends = [outcomes[index] for index in (0, 1, 2, 4)]
    found = [
        {
            (rank["weights_sha256"], json.dumps(rank["metrics"], sort_keys=True))
            for group in ends
            for rank in group[number]
        }
        for number in range(len(made))
    ]
    assert [len(one) for one in found] == [1] * len(made)
    assert found[0] == found[1]  # whoever reads the rows
    assert [run[0]["resumed_from_step"] for run in outcomes[4]] == [4] * len(made)


def test_a_step_has_its_numbers_recorded(tmp_path: Path) -> None:
    own = job(
        tmp_path, "Alone", {"target": f"{OWN}:Autoencoder"}, step=f"{OWN}:denoising", epochs=1
    )

    assert try_first_batch(own).total_steps == 4
    outcome = train(own, World.single("cpu"))

    assert {"validation/loss", "validation/worst", "validation/mean", "test/worst"} <= set(
        outcome.metrics
    )
    assert outcome.metrics["validation/mean"] == pytest.approx(outcome.metrics["validation/loss"])
    assert outcome.metrics["validation/worst"] > outcome.metrics["validation/mean"]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("detached", "depends on no trained parameter"),
        ("by_row", r"returned as loss_sum a tensor of shape \(2,\)"),
        ("alone", "returned a tensor of shape"),
        ("odd_metric", "returned a metric called 'loss'"),
        ("raising", "failed on the first batch: IndexError"),
        ("nowhere", "has no 'nowhere'"),
    ],
)
def test_a_step_that_returns_the_wrong_thing_is_told_before_training(
    step: str, told: str, tmp_path: Path
) -> None:
    own = job(tmp_path, "Alone", {"target": f"{OWN}:Autoencoder"}, step=f"{OWN}:{step}")

    with pytest.raises(ModelError, match=told):
        try_first_batch(own)


@pytest.mark.parametrize(
    ("name", "model", "data", "told"),
    [
        ("Alone", {"name": "mlp"}, {}, r"a batch is a tensor .*give train\.step"),
        ("Plain", {"target": f"{OWN}:Bag"}, {}, "forward failed on x of shape"),
        ("Numbers", {"target": f"{OWN}:Bag"}, {}, r"forward failed on left of shape \(2, 4\)"),
        (
            "Numbers",
            {"target": f"{OWN}:TwoSided"},
            {"task": "classification"},
            "the targets are a tensor",
        ),
    ],
)
def test_a_model_that_does_not_take_the_rows_is_told_before_training(
    name: str, model: dict[str, Any], data: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(DistrainError, match=f"(?s){told}"):
        try_first_batch(job(tmp_path, name, model, data))


def test_a_class_beyond_those_that_are_known_is_told(tmp_path: Path) -> None:
    own = job(tmp_path, "OutOfRange", {"name": "linear"}, {"num_classes": 3})

    with pytest.raises(DataError, match="a target is 3"):
        train(own, World.single("cpu"))
