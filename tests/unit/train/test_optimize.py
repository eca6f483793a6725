"""Update rules and learning rates."""

from typing import Any

import pytest
import torch

from distrain.train.optimize import (
    build_optimizer,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
)

OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"name": "sgd", "lr": 0.1, "momentum": 0.0},
    {"name": "adam", "lr": 0.1, "betas": [0.8, 0.99], "eps": 1e-6},
    {"name": "adamw", "lr": 0.1, "weight_decay": 0.1},
    {"name": "rmsprop", "lr": 0.1, "momentum": 0.5},
]


def rates(spec: dict[str, Any], total_steps: int, steps_per_epoch: int = 5) -> list[float]:
    return [
        learning_rate(spec, 1.0, step, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        for step in range(total_steps)
    ]


def test_constant_stays() -> None:
    assert rates({"name": "constant"}, 4) == [1.0] * 4


def test_warm_up_rises_in_a_line_to_the_rate() -> None:
    assert rates({"name": "constant", "warmup_steps": 4}, 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_step_falls_after_every_so_many_epochs() -> None:
    spec = {"name": "step", "every_epochs": 2, "gamma": 0.5}
    assert rates(spec, 6, steps_per_epoch=1) == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_cosine_ends_at_its_final_fraction_on_the_last_step() -> None:
    found = rates({"name": "cosine", "final_fraction": 0.2}, 5)
    assert found == pytest.approx([1.0, 0.8828427, 0.6, 0.3171573, 0.2])


def test_cosine_begins_when_the_warm_up_is_over() -> None:
    found = rates({"name": "cosine", "warmup_steps": 2}, 5)
    assert found == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0])


def test_one_cycle_climbs_to_the_peak_and_down() -> None:
    spec = {"name": "one_cycle", "peak_fraction": 0.5, "start_fraction": 0.1, "final_fraction": 0.0}
    assert rates(spec, 5) == pytest.approx([0.1, 0.55, 1.0, 0.5, 0.0])


@pytest.mark.parametrize(
    "spec",
    [{"name": name} for name in ("constant", "step", "cosine", "one_cycle")]
    + [{"name": "cosine", "warmup_steps": 9}],
)
@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_rates_of_short_runs_are_between_zero_and_the_rate(
    spec: dict[str, Any], total_steps: int
) -> None:
    assert all(0.0 <= rate <= 1.0 for rate in rates(spec, total_steps))


@pytest.mark.parametrize("spec", OPTIMIZERS, ids=lambda spec: str(spec["name"]))
def test_every_rule_finds_the_minimum_of_a_bowl(spec: dict[str, Any]) -> None:
    vector = torch.nn.Parameter(torch.tensor([2.0, -3.0]))
    optimizer = build_optimizer({**spec, "weight_decay": 0.0}, [vector])
    for _ in range(300):
        vector.grad = vector.detach().clone()
        optimizer.step()
    assert vector.detach().abs().max() < 0.2


@pytest.mark.parametrize("spec", OPTIMIZERS, ids=lambda spec: str(spec["name"]))
def test_a_rule_goes_on_from_its_tensors_with_the_same_bits(spec: dict[str, Any]) -> None:
    def run(vector: torch.nn.Parameter, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            vector.grad = torch.sin(torch.arange(4.0) + step)
            optimizer.step()

    straight = torch.nn.Parameter(torch.ones(4))
    first = build_optimizer(spec, [straight])
    run(straight, first, range(5))
    again = torch.nn.Parameter(straight.detach().clone())
    saved = {name: value.clone() for name, value in optimizer_tensors(first).items()}
    second = build_optimizer(spec, [again])
    load_optimizer_tensors(second, saved)
    run(straight, first, range(5, 9))
    run(again, second, range(5, 9))
    assert torch.equal(straight, again)
