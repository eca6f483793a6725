"""An update rule and a schedule of the user's own."""

from typing import Any

import pytest
import torch

from distrain.errors import ModelError
from distrain.train.optimize import learning_rate
from distrain.train.own_optimizer import check_update_rule

pytestmark = pytest.mark.usefixtures("user_code")


def rates(target: str, steps: list[int], **args: Any) -> list[float]:
    spec = {"target": target, "args": args}
    return [learning_rate(spec, 0.1, n, total_steps=8, steps_per_epoch=4) for n in steps]


def test_a_function_gives_a_factor_and_is_told_how_long_the_run_is() -> None:
    assert rates("own_datasets:halving", [0, 2, 4]) == [0.1, 0.05, 0.025]


def test_a_scheduler_of_torchs_kind_gives_what_it_gives_in_a_loop() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    expected = []
    for _ in range(8):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    target = "torch.optim.lr_scheduler:CosineAnnealingLR"
    assert rates(target, list(range(8)), T_max=8) == expected
    assert rates(target, [5, 2, 7], T_max=8) == [expected[5], expected[2], expected[7]]


@pytest.mark.parametrize(
    ("target", "args", "told"),
    [
        ("torch.optim.lr_scheduler:ReduceLROnPlateau", {}, "depends on the step alone"),
        ("torch.optim.lr_scheduler:CosineAnnealingLR", {"T": 3}, "failed: TypeError"),
        ("own_datasets:padded", {}, "failed at step 0: TypeError"),
        ("math:log", {}, "failed at step 0: ValueError"),
    ],
)
def test_a_schedule_that_is_none_is_told(target: str, args: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        rates(target, [0], **args)


@pytest.mark.parametrize("target", ["torch.optim:NAdam", "own_datasets:Layerwise"])
def test_an_update_rule_is_tried(target: str) -> None:
    args = {"trust": 0.5} if target.endswith("Layerwise") else {}
    check_update_rule({"target": target, "lr": 0.1, "args": args})


@pytest.mark.parametrize(
    ("target", "args", "told"),
    [
        ("torch.optim:LBFGS", {}, "without a closure"),
        ("torch.optim:NAdam", {"speed": 1}, "failed: TypeError"),
        ("own_datasets:Layerwise", {}, "missing 1 required positional argument: 'trust'"),
        ("torch.nn:Linear", {}, "failed: TypeError"),
        ("builtins:dict", {}, "gives a dict"),
    ],
)
def test_an_update_rule_that_is_none_is_told(target: str, args: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        check_update_rule({"target": target, "lr": 0.1, "args": args})
