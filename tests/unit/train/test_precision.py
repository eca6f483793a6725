"""Half precision: what stays in float32, and the scale that keeps fp16's gradients."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distrain.errors import TrainError
from distrain.train import precision
from distrain.train.loop import TrainJob, train
from distrain.train.precision import FIRST_SCALE, LEAST_SCALE, LossScale
from distrain.train.setup import set_up
from distrain.train.step import Wishes
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified

CPU = World.single("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"train": 123, "validation": 40, "test": 1025}
    return write_classified(tmp_path_factory.mktemp("data"), rows)


@pytest.fixture
def job_of(data: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    return job_maker(tmp_path, data)


def test_precisions_differ_and_all_learn(job_of: Callable[..., TrainJob]) -> None:
    optimizer = {"name": "adamw", "lr": 0.01}
    outcomes = {
        name: train(job_of(name, precision=name, optimizer=optimizer, epochs=8), CPU)
        for name in ("fp32", "bf16", "fp16")
    }
    assert len({outcome.weights_sha256 for outcome in outcomes.values()}) == 3
    losses = [outcome.metrics["test/loss"] for outcome in outcomes.values()]
    assert max(losses) - min(losses) < 0.1 * min(losses)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_weights_and_evaluation_are_in_float32(job_of: Callable[..., TrainJob], name: str) -> None:
    outcome = train(job_of(precision=name), CPU)
    weights = load_file(outcome.weights_file)
    floats = {value.dtype for value in weights.values() if value.is_floating_point()}
    assert floats == {torch.float32}
    setup = set_up(job_of(precision="fp32"), CPU)
    setup.model.module.load_state_dict(weights)
    measured, _ = setup.evaluator.assess(setup.test, setup.metrics)
    assert measured["loss"] == pytest.approx(outcome.metrics["test/loss"], rel=1e-12)


def test_the_forward_runs_in_the_precision_that_is_asked_for(
    job_of: Callable[..., TrainJob],
) -> None:
    setup = set_up(job_of(precision="bf16"), CPU)
    seen: list[torch.dtype] = []
    first = next(m for m in setup.model.module.modules() if isinstance(m, torch.nn.Linear))
    first.register_forward_hook(lambda _module, _given, outputs: seen.append(outputs.dtype))
    with setup.loader.batches(0, 1) as batches:
        setup.stepper.step(next(iter(batches)), 0.0, Wishes())
    assert set(seen) == {torch.bfloat16}


def test_an_overflow_leaves_the_step_without_an_update_and_halves_the_scale(
    job_of: Callable[..., TrainJob],
) -> None:
    setup = set_up(job_of(precision="fp16", model={"name": "linear"}), CPU)
    before = setup.model.vector.detach().clone()
    scale = LossScale(2.0**32)
    with setup.loader.batches(0, 1) as batches:
        result = setup.stepper.step(next(iter(batches)), 0.1, Wishes(), scale=scale)
    assert (result.has_finite_gradient, result.is_updated) == (False, False)
    assert scale == LossScale(2.0**31, 0)
    assert torch.equal(setup.model.vector.detach(), before)


def test_an_overflow_is_no_fault_and_its_step_counts(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "GROWTH_STEPS", 1)
    outcome = train(job_of(precision="fp16", epochs=6), CPU)
    assert (outcome.status, outcome.step) == ("finished", 48)


def test_the_scale_is_taken_up_by_a_resumed_run(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "GROWTH_STEPS", 2)
    job = job_of(precision="fp16")
    asked = iter([False] * 10 + [True])
    train(job, CPU, stop_requested=lambda: next(asked))
    straight = train(replace(job, run_dir=job.run_dir + "-straight"), CPU)
    assert train(job, CPU).weights_sha256 == straight.weights_sha256


def test_a_gradient_that_no_scale_can_hold_ends_the_run(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "LEAST_SCALE", FIRST_SCALE / 4)
    job = job_of(precision="fp16", loss={"target": "tests.user_models:root_of_distance"})
    with pytest.raises(TrainError, match=r"step 3, epoch 1.*the gradient is not finite"):
        train(replace(job, metrics=[]), CPU)


def test_the_scale_grows_after_a_while_and_stays_a_power_of_two() -> None:
    scale = LossScale()
    for _ in range(precision.GROWTH_STEPS):
        scale.observe(has_overflown=False)
    assert scale == LossScale(2 * FIRST_SCALE, 0)
    assert scale.factor(100) == 2 * FIRST_SCALE / 128
    for _ in range(60):
        scale.observe(has_overflown=True)
    assert scale.scale == LEAST_SCALE
