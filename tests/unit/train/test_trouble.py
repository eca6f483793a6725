"""Steps out of the ordinary: what is told of them, and what is done."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distrain.data.plan import Plan
from distrain.errors import TrainError
from distrain.train.loop import TrainJob, train
from distrain.train.spikes import MOST_SKIPPED_IN_A_ROW
from distrain.train.world import World
from tests.prepared_examples import classified, numeric_transform, write_prepared
from tests.training_group import Group, train_in_groups

CPU = World.single("cpu")
ROWS, BATCH, PARTS = 256, 16, 4
NAN_ROW, FAR_ROWS = 17, (46, 200)


class TroubleJournal:
    """Keeps what is recorded beside metrics."""

    def __init__(self) -> None:
        self.troubles: list[Mapping[str, Any]] = []
        self.notes: list[str] = []
        self.losses: dict[int, float] = {}

    def earlier(self, _step: int) -> tuple[()]:
        return ()

    def start(self, step: int, *, is_exact: bool, every_steps: int) -> None:
        pass

    def checkpoint(self, step: int) -> None:
        pass

    def tags(self, values: Mapping[str, str]) -> None:
        pass

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if "train/loss" in values:
            self.losses[step] = values["train/loss"]

    def progress(self, values: Mapping[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def trouble(self, values: Mapping[str, Any]) -> None:
        self.troubles.append(values)

    def assessment(self, split: str, counts: Mapping[str, Any]) -> None:
        pass

    def sync(self) -> None:
        pass


def write_data(folder: Path, change: Callable[[Any], None]) -> Path:
    transform = numeric_transform(
        6, task="classification", targets=["label"], classes=["a", "b", "c"]
    )
    rows = classified(ROWS, 6, 3)
    change(rows["x"])
    return write_prepared(folder, transform, {"train": rows, "test": classified(20, 6, 3, 1)})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")

    def put_nan(x: Any) -> None:
        x[NAN_ROW, 2] = np.nan

    def put_far(x: Any) -> None:
        x[list(FAR_ROWS)] *= 1000.0

    return {
        "nan": write_data(folder / "nan", put_nan),
        "far": write_data(folder / "far", put_far),
    }


def job_on(data: Path, run_dir: Path, **changes: Any) -> TrainJob:
    fields: dict[str, Any] = {
        "model": {"name": "linear"},
        "epochs": 2,
        "seed": 3,
        "global_batch_size": BATCH,
        "logical_shards": PARTS,
        "optimizer": {"name": "sgd", "lr": 1e-4, "momentum": 0.0},
        "metrics": ["accuracy"],
        "record_every_steps": 1,
        "checkpoint_every_s": None,
    }
    return TrainJob(str(run_dir), str(data), **{**fields, **changes})


def place_of(row: int, epoch: int = 0) -> tuple[int, int]:
    """Return step, from 1, and logical shard of a row."""
    plan = Plan(ROWS, BATCH, PARTS, 1, 3)
    for step in range(plan.steps_per_epoch):
        found = np.flatnonzero(plan.rows(epoch, step) == row)
        if len(found):
            return epoch * plan.steps_per_epoch + step + 1, int(found[0]) // (BATCH // PARTS)
    raise AssertionError(row)


def test_a_loss_that_is_not_finite_names_step_shard_and_row(
    data: dict[str, Path], tmp_path: Path
) -> None:
    step, shard = place_of(NAN_ROW)
    journal = TroubleJournal()
    expected = (
        rf"^step {step}, epoch 1, logical shard {shard}: the loss is nan, from row {NAN_ROW} of "
        r"the prepared training split\. Expected a finite number\. Lower train\.optimizer\.lr"
    )
    with pytest.raises(TrainError, match=expected):
        train(job_on(data["nan"], tmp_path), CPU, journal)
    assert journal.troubles == [
        {
            "step": step, "epoch": 1, "finding": "not finite", "action": "stopped", "loss": "nan",
            "median": journal.troubles[0]["median"],
            "blamed": [{"logical_shard": shard, "loss": "nan", "rows": [NAN_ROW]}],
        }
    ]  # fmt: skip


def test_where_batch_norm_mixes_rows_those_of_the_shard_are_named(
    data: dict[str, Path], tmp_path: Path
) -> None:
    step, shard = place_of(NAN_ROW)
    model = {"name": "mlp", "hidden": [8], "norm": "batch"}
    plan = Plan(ROWS, BATCH, PARTS, 2, 3)
    cut = plan.parts(BATCH)[shard]
    rows = ", ".join(map(str, plan.rows(0, step - 1)[slice(*cut)]))
    with pytest.raises(TrainError, match=rf"logical shard {shard}: .* from rows {rows} of"):
        train(job_on(data["nan"], tmp_path, model=model), CPU)


def test_a_skipped_step_counts_and_leaves_the_model_as_it_was(
    data: dict[str, Path], tmp_path: Path
) -> None:
    journal = TroubleJournal()
    model = {"name": "mlp", "hidden": [8], "norm": "batch"}
    job = job_on(data["nan"], tmp_path, model=model, on_spike="skip")
    outcome = train(job, CPU, journal)
    steps = [place_of(NAN_ROW, epoch)[0] for epoch in (0, 1)]
    assert (outcome.status, outcome.step) == ("finished", 32)
    assert [one["step"] for one in journal.troubles] == steps
    assert {one["action"] for one in journal.troubles} == {"skipped"}
    assert sorted(journal.losses) == [step for step in range(1, 33) if step not in steps]
    assert np.isfinite(outcome.metrics["test/loss"])
    assert len(journal.notes) == 2
    assert journal.notes[0].endswith("it was skipped")


@pytest.mark.parametrize("on_spike", ["record", "skip"])
def test_a_spike_is_traced_to_its_rows(
    data: dict[str, Path], tmp_path: Path, on_spike: str
) -> None:
    journal = TroubleJournal()
    still = {"name": "sgd", "lr": 1e-9, "momentum": 0.0}
    job = job_on(data["far"], tmp_path, on_spike=on_spike, optimizer=still)
    outcome = train(job, CPU, journal)
    assert outcome.status == "finished"
    found = {
        (one["step"], blamed["logical_shard"], row)
        for one in journal.troubles
        for blamed in one["blamed"]
        for row in blamed["rows"]
    }
    places = {(*place_of(row, epoch), row) for row in FAR_ROWS for epoch in (0, 1)}
    assert found <= places
    assert {place for place in places if place[0] > 16} <= found
    assert {one["action"] for one in journal.troubles} == {
        "recorded" if on_spike == "record" else "skipped"
    }


def test_a_recorded_spike_is_trained_on(data: dict[str, Path], tmp_path: Path) -> None:
    runs = {
        asked: train(job_on(data["far"], tmp_path / asked, on_spike=asked), CPU)
        for asked in ("record", "skip")
    }
    assert runs["record"].weights_sha256 != runs["skip"].weights_sha256


def test_a_spike_ends_the_run_where_that_is_asked(data: dict[str, Path], tmp_path: Path) -> None:
    expected = r"more than 5 times the median of the last 100 steps \(.*from row(s)? (46|200)"
    with pytest.raises(TrainError, match=expected):
        train(job_on(data["far"], tmp_path, on_spike="stop"), CPU)


def test_a_run_that_is_never_finite_again_ends(data: dict[str, Path], tmp_path: Path) -> None:
    loss = {"target": "tests.user_models:root_of_distance"}
    job = job_on(data["far"], tmp_path, on_spike="skip", loss=loss, metrics=[])
    journal = TroubleJournal()
    with pytest.raises(TrainError, match=f"step {MOST_SKIPPED_IN_A_ROW + 1}, .* not finite"):
        train(job, CPU, journal)
    actions = [one["action"] for one in journal.troubles]
    assert actions == ["skipped"] * MOST_SKIPPED_IN_A_ROW + ["stopped"]
    assert len(journal.notes) == 5
    assert journal.notes[-1].endswith("further ones stand in the journal alone")


def test_a_gradient_that_is_not_finite_beside_a_finite_loss_is_traced(
    data: dict[str, Path], tmp_path: Path
) -> None:
    loss = {"target": "tests.user_models:root_of_distance"}
    job = job_on(data["far"], tmp_path, loss=loss, metrics=[])
    with pytest.raises(TrainError, match="the gradient is not finite, though the loss is"):
        train(job, CPU)


def test_losses_of_before_are_remembered_by_a_resumed_run(
    data: dict[str, Path], tmp_path: Path
) -> None:
    asked = iter([False] * 12 + [True])
    first, second, straight = TroubleJournal(), TroubleJournal(), TroubleJournal()
    job = job_on(data["far"], tmp_path / "stopped")
    train(job, CPU, first, stop_requested=lambda: next(asked))
    train(job, CPU, second)
    train(replace(job, run_dir=str(tmp_path / "straight")), CPU, straight)
    assert first.troubles + second.troubles == straight.troubles


@pytest.mark.slow
def test_workers_decide_alike(data: dict[str, Path], tmp_path: Path) -> None:
    jobs = [
        job_on(data["far"], tmp_path / "skip", on_spike="skip"),
        job_on(data["nan"], tmp_path / "nan"),
    ]
    group = Group(2, [replace(job, run_dir=job.run_dir + "-2") for job in jobs])
    ((skipped, failed),) = train_in_groups([group], tmp_path)
    assert {one["weights_sha256"] for one in skipped} == {train(jobs[0], CPU).weights_sha256}
    with pytest.raises(TrainError) as alone:
        train(jobs[1], CPU)
    assert {one["message"] for one in failed} == {str(alone.value)}
