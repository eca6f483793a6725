"""The running average of the weights, and that it is what is evaluated and kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from distrain.train.ema import WeightAverage
from distrain.train.flat import FlatModel
from distrain.train.loop import TrainJob, train
from distrain.train.setup import set_up
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified

CPU = World.single("cpu")
EMA = {"decay": 0.9}


def test_the_average_is_the_one_of_the_formula() -> None:
    model = FlatModel(nn.Linear(1, 1, bias=False), torch.zeros(2, 1))
    values = [3.0, 5.0, 4.0]
    model.vector.data.zero_()
    average = WeightAverage(model, 0.15)
    expected = 0.0
    for decay, value in zip((0.1, 0.15, 0.15), values, strict=True):
        model.trained[0].data.fill_(value)
        average.update()
        expected = decay * expected + (1 - decay) * value
    with average.in_place():
        assert model.trained[0].item() == pytest.approx(expected, rel=1e-6)
    assert model.trained[0].item() == values[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"train": 123, "validation": 40, "test": 33}
    return write_classified(tmp_path_factory.mktemp("data"), rows)


@pytest.fixture
def job_of(data: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    return job_maker(tmp_path, data, optimizer={"name": "adamw", "lr": 0.05}, ema=EMA)


@pytest.mark.parametrize("restore_best", [False, True])
def test_the_average_is_what_is_measured_and_kept(
    job_of: Callable[..., TrainJob], restore_best: bool
) -> None:
    outcome = train(job_of(restore_best=restore_best), CPU)
    plain = train(job_of("plain", ema=None, restore_best=restore_best), CPU)
    assert outcome.weights_sha256 != plain.weights_sha256
    # The average steers nothing: what is averaged is trained as it would be without.
    assert outcome.metrics["train/loss"] == plain.metrics["train/loss"]
    setup = set_up(job_of(), CPU)
    setup.model.module.load_state_dict(load_file(outcome.weights_file))
    for split in (setup.validation, setup.test):
        name = "validation" if split is setup.validation else "test"
        measured = setup.evaluator.measure(split, setup.metrics)["loss"]
        assert measured == pytest.approx(outcome.metrics[f"{name}/loss"], rel=1e-12)


def test_the_average_is_taken_up_by_a_resumed_run(job_of: Callable[..., TrainJob]) -> None:
    asked = iter([False] * 10 + [True])
    job = job_of()
    train(job, CPU, stop_requested=lambda: next(asked))
    straight = train(replace(job, run_dir=job.run_dir + "-straight"), CPU)
    assert train(job, CPU).weights_sha256 == straight.weights_sha256
