"""Runs that begin with given weights, leave some of them alone, and train others at own rates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from distrain.errors import ModelError
from distrain.models.build import build_model
from distrain.models.naming import rates_by_name
from distrain.models.weights import weights_sha256
from distrain.train.flat import FlatGradients, FlatModel
from distrain.train.loop import TrainJob, train
from distrain.train.optimize import build_optimizer, change_optimizer, one_group_each
from distrain.train.preflight import try_first_batch
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified

CPU = World.single("cpu")
MLP = {"name": "mlp", "hidden": [8, 8], "dropout": 0.2, "norm": "batch"}


@pytest.fixture(scope="module")
def job_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainJob]:
    """Give what makes jobs that begin with weights for five classes, where the data has three."""
    folder = tmp_path_factory.mktemp("jobs")
    data = write_classified(folder / "data", {"train": 120, "validation": 20, "test": 20})
    state = build_model(MLP, input_shape=(6,), num_outputs=5, seed=1).state_dict()
    save_file(state, folder / "given.safetensors")
    given = {"path": str(folder / "given.safetensors"), "sha256": weights_sha256(state)}
    return job_maker(
        folder,
        data,
        model=MLP,
        init_from={**given, "anew": [], "unused": []},
        freeze=["1.*"],
        lr_by_name={"3.*": 1e-2, "*.bias": 1e-4},
    )


def test_what_is_frozen_ends_as_it_began(job_of: Callable[..., TrainJob]) -> None:
    job = job_of("frozen")
    ended = load_file(train(job, CPU).weights_file)
    assert job.init_from is not None
    began = load_file(job.init_from["path"])
    frozen = [name for name in ended if name.startswith("1.")]
    assert "1.1.running_mean" in frozen
    assert all(torch.equal(ended[name], began[name]) for name in frozen)
    assert not torch.equal(ended["2.0.weight"], began["2.0.weight"])
    assert not torch.equal(ended["2.1.running_mean"], began["2.1.running_mean"])


def test_a_run_that_goes_on_ends_like_one_that_ran_through(
    job_of: Callable[..., TrainJob],
) -> None:
    asked = iter([False] * 10 + [True])
    stopped = train(job_of("parts"), CPU, stop_requested=lambda: next(asked))
    resumed = train(job_of("parts"), CPU)
    assert (stopped.status, resumed.resumed_from_step) == ("interrupted", 11)
    assert resumed.weights_sha256 == train(job_of("straight"), CPU).weights_sha256


def test_the_first_batch_tells_what_begins_anew(job_of: Callable[..., TrainJob]) -> None:
    assert try_first_batch(job_of()).anew == ("3.weight", "3.bias")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": ["7.*"]}, r"train.freeze: '7.\*' matches no parameter"),
        ({"lr_by_name": {"1.*": 0.1}}, r"train.lr_by_name: '1.\*' matches no parameter"),
        (
            {"model": {**MLP, "hidden": [8]}},
            "it lacks 2.weight, 2.bias; it has besides 2.0.bias, 2.0.weight",
        ),
        ({"freeze": ["*"], "lr_by_name": {}}, "no parameter to train"),
    ],
)
def test_a_misfit_is_told_before_the_run(
    job_of: Callable[..., TrainJob], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        try_first_batch(job_of(**changes))


def test_weights_that_became_others_are_refused(
    job_of: Callable[..., TrainJob], tmp_path: Path
) -> None:
    given = job_of().init_from
    assert given is not None
    save_file({"a": torch.ones(1)}, tmp_path / "others.safetensors")
    job = job_of(init_from={**given, "path": str(tmp_path / "others.safetensors")})
    with pytest.raises(ModelError, match="not those of the run's start"):
        train(job, CPU)


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
def test_rates_by_name_are_those_of_groups_in_plain_torch(name: str) -> None:
    spec = {"name": name, "lr": 0.01, "momentum": 0.5 if name == "sgd" else 0.0}
    plain, module, rates = make_network(), make_network(), {"2.*": 0.1, "*.bias": 0.02}
    flat = FlatModel(module, torch.zeros(2, 6), factor=rates_by_name(module, rates, 0.01))
    optimizer = build_optimizer(spec, flat.parameters)
    one_group_each(optimizer)
    gradients = FlatGradients(flat, optimizer, None)
    expected = build_optimizer(spec, list(plain.parameters()))
    one_group_each(expected)
    for group, rate in zip(expected.param_groups, (0.01, 0.02, 0.1, 0.1), strict=True):
        group["lr"] = rate

    total = torch.zeros(gradients.length)
    for step in range(3):
        for view, parameter in zip(flat.cut(total), flat.trained, strict=True):
            generator = torch.Generator().manual_seed(step)
            view.copy_(torch.randn(parameter.shape, generator=generator))
        for parameter in plain.parameters():
            generator = torch.Generator().manual_seed(step)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        gradients.update(total, 1.0, 0.01)
        expected.step()

    for found, wanted in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.detach(), wanted.detach())


def test_other_settings_hold_for_all_groups() -> None:
    optimizer = build_optimizer({"name": "adamw", "lr": 0.01}, list(make_network().parameters()))
    one_group_each(optimizer)
    change_optimizer(optimizer, {"name": "adamw", "lr": 0.5, "weight_decay": 0.3})
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.3}
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
