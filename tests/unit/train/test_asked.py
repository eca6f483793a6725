"""Whoever watches a run is asked on rank zero, and all workers do the same at the same step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.train.checkpoint import committed_steps
from distrain.train.job import Answer, GivenUpError
from distrain.train.loop import TrainJob, train
from distrain.train.world import World
from tests.prepared_examples import write_classified
from tests.training_group import Group, train_in_groups

pytestmark = pytest.mark.slow

STEPS_PER_EPOCH = 8


def job_of(folder: Path) -> TrainJob:
    rows = {"train": STEPS_PER_EPOCH * 16, "validation": 32, "test": 32}
    data = write_classified(folder / "data", rows, shard_rows=50)
    model = {"name": "mlp", "hidden": [8], "dropout": 0.2}
    return TrainJob(
        str(folder / "run"), str(data), model, epochs=4, global_batch_size=16, is_trial=True
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[dict[str, Any]]]]:
    """Outcomes of two workers by rank, for each answer to the second evaluation."""
    folder = tmp_path_factory.mktemp("asked")
    job = job_of(folder)
    answers = ("pause", "end", "stop")
    groups = [
        Group(2, [replace(job, run_dir=str(folder / answer))], answers=["go_on", answer])
        for answer in answers
    ]
    found = train_in_groups(groups, folder)
    return {
        answer: (folder / answer, outcomes[0])
        for answer, outcomes in zip(answers, found, strict=True)
    }


@pytest.mark.parametrize(("answer", "status"), [("pause", "interrupted"), ("end", "stopped_early")])
def test_all_workers_do_at_one_step_what_rank_zero_is_answered(
    asked: dict[str, tuple[Path, list[dict[str, Any]]]], answer: str, status: str
) -> None:
    run_dir, outcomes = asked[answer]

    assert [(one["status"], one["step"]) for one in outcomes] == [(status, 2 * STEPS_PER_EPOCH)] * 2
    assert list(committed_steps(run_dir)) == [2 * STEPS_PER_EPOCH]


def test_a_run_that_is_given_up_ends_on_all_workers_and_saves_nothing(
    asked: dict[str, tuple[Path, list[dict[str, Any]]]],
) -> None:
    run_dir, outcomes = asked["stop"]

    assert outcomes == [{"error": "GivenUpError"}] * 2
    assert list(committed_steps(run_dir)) == []


def test_one_worker_alone_gives_up_likewise(tmp_path: Path) -> None:
    with pytest.raises(GivenUpError):
        train(job_of(tmp_path), World.single("cpu"), ask=lambda *_: "stop")

    assert list(committed_steps(tmp_path / "run")) == []


@pytest.mark.parametrize(("patience", "ends"), [(None, 4), (2, 3)])
def test_who_watches_is_told_where_the_run_ends_by_itself(
    tmp_path: Path, patience: int | None, ends: int
) -> None:
    told: list[tuple[int, bool]] = []

    def ask(_step: int, epoch: int, is_end: bool) -> Answer:
        told.append((epoch, is_end))
        return "go_on"

    # The loss falls, so that the first epoch is the best, and patience ends the run.
    stopping = {"metric": "train/loss", "mode": "max", "patience": patience}

    train(replace(job_of(tmp_path), early_stopping=stopping), World.single("cpu"), ask=ask)

    assert told == [(epoch, epoch == ends) for epoch in range(1, ends + 1)]
