"""A run that takes over the state of another; whoever is killed meanwhile, it comes to the same."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.train import taken_over
from distrain.train.checkpoint import FOLDER, committed_steps
from distrain.train.loop import TrainJob, train
from distrain.train.taken_over import take_over
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified

CPU = World.single("cpu")
OPTIMIZER = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
STEP = 8

Maker = Callable[..., TrainJob]


class KilledError(Exception):
    """The driver's process is gone."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classified(tmp_path_factory.mktemp("data"), {"train": 123, "validation": 40})


@pytest.fixture
def job_of(data: Path, tmp_path: Path) -> Maker:
    return job_maker(tmp_path, data, restore_best=True, early_stopping=None)


def trained_to(job: TrainJob, step: int) -> Path:
    """Train a job up to a step, where it saves its state, and return its folder."""
    train(job, CPU, ask=lambda now, *_: "pause" if now >= step else "go_on")
    return Path(job.run_dir)


def source_of(job_of: Maker) -> TrainJob:
    return job_of("source", optimizer=OPTIMIZER, config_digest="source")


def taking(job_of: Maker, run: str = "taking") -> TrainJob:
    """Return the job of a run that goes on from the source's state, with another rate."""
    change: dict[str, Any] = {
        "step": STEP, "optimizer": {**OPTIMIZER, "lr": 0.02}, "gradient_clip_norm": None,
        "dropout": 0.2, "config_digest": "taking",
    }  # fmt: skip
    return replace(source_of(job_of), run_dir=job_of(run).run_dir, changes=[change])


def test_it_comes_to_what_the_whole_course_gives(job_of: Maker) -> None:
    straight = train(taking(job_of, "straight"), CPU)
    source = trained_to(source_of(job_of), STEP)
    job = taking(job_of)
    before = replace(job, optimizer={**OPTIMIZER, "lr": 0.9}, changes=[], config_digest="before")
    trained_to(before, STEP)

    take_over(job, STEP, source)

    went_on = train(job, CPU)
    assert went_on.resumed_from_step == STEP
    assert went_on.weights_sha256 == straight.weights_sha256
    assert went_on.metrics == straight.metrics


def test_the_source_goes_on_as_if_nothing_had_been(job_of: Maker) -> None:
    straight = train(replace(source_of(job_of), run_dir=job_of("straight").run_dir), CPU)
    source = trained_to(source_of(job_of), STEP)
    take_over(taking(job_of), STEP, source)

    assert train(source_of(job_of), CPU).weights_sha256 == straight.weights_sha256


def test_what_was_taken_over_stays_when_the_source_has_gone_on(job_of: Maker) -> None:
    source, job = trained_to(source_of(job_of), STEP), taking(job_of)
    take_over(job, STEP, source)
    shutil.rmtree(source)

    take_over(job, STEP, source)

    assert committed_steps(Path(job.run_dir)) == [STEP]


def test_a_run_that_has_gone_on_keeps_its_state(job_of: Maker) -> None:
    source, job = trained_to(source_of(job_of), STEP), taking(job_of)
    take_over(job, STEP, source)
    trained_to(job, 2 * STEP)

    take_over(job, STEP, source)

    assert committed_steps(Path(job.run_dir))[0] == 2 * STEP


def test_without_the_source_it_begins_anew_and_comes_to_the_same(job_of: Maker) -> None:
    straight = train(taking(job_of, "straight"), CPU)
    job = taking(job_of)
    trained_to(replace(job, changes=[], config_digest="before"), STEP)

    take_over(job, STEP, Path(job.run_dir).with_name("gone"))

    went_on = train(job, CPU)
    assert went_on.resumed_from_step is None
    assert went_on.weights_sha256 == straight.weights_sha256


@pytest.mark.parametrize("place", ["copytree", "sync_folder", "rename"])
def test_who_is_killed_halfway_does_it_again(
    job_of: Maker, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, job = trained_to(source_of(job_of), STEP), taking(job_of)
    trained_to(replace(job, changes=[], config_digest="before"), STEP)

    def killed(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        owners = {"copytree": taken_over.shutil, "sync_folder": taken_over, "rename": Path}
        patched.setattr(owners[place], place, killed)
        with pytest.raises(KilledError):
            take_over(job, STEP, source)
    assert committed_steps(Path(job.run_dir)) == []

    take_over(job, STEP, source)

    assert committed_steps(Path(job.run_dir)) == [STEP]
    assert [path.name for path in (Path(job.run_dir) / FOLDER).iterdir()] == [f"step-{STEP}"]


def test_storage_without_links_is_copied_on(job_of: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    source, job = trained_to(source_of(job_of), STEP), taking(job_of)

    def refused(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(taken_over.os, "link", refused)
    take_over(job, STEP, source)

    assert train(job, CPU).resumed_from_step == STEP
