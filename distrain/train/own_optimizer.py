"""An update rule, or a schedule of the learning rate, of the user's own."""

import functools
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from distrain.config.environment import expanded
from distrain.errors import ModelError
from distrain.models.target import load_target

_OPTIMIZER: Final = "train.optimizer"
_SCHEDULE: Final = "train.lr_schedule"


def own_optimizer(
    spec: Mapping[str, Any], parameters: Sequence[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """Return the user's optimizer, over one group.

    Args:
        spec: `target`, `lr` and `args`.
        parameters: what it updates.

    Raises:
        ModelError: it cannot be found or made, or is no optimizer.
    """
    target, args = str(spec["target"]), expanded(spec.get("args") or {})
    maker = load_target(target, where=f"{_OPTIMIZER}.target")
    try:
        made = maker(parameters, lr=float(spec["lr"]), **args)
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(
            f"{target}(parameters, lr=..., ...) failed: {type(fault).__name__}: {fault}",
            where=f"{_OPTIMIZER}.args",
            expected="arguments that the class can be made with, beside parameters and lr",
            mend=f"Correct {_OPTIMIZER}.args or the class",
        ) from fault
    if not isinstance(made, torch.optim.Optimizer) or len(made.param_groups) != 1:
        raise ModelError(
            f"{target} gives a {type(made).__name__}",
            where=f"{_OPTIMIZER}.target",
            expected="a torch.optim.Optimizer with one group of parameters",
            mend="Derive the class from torch.optim.Optimizer, or name another one",
        )
    return made


def check_update_rule(spec: Mapping[str, Any]) -> None:
    """Return where the user's optimizer makes a step, and keeps what can be saved.

    Args:
        spec: a `train.optimizer` section; one with a name is known to be good.

    Raises:
        ModelError: it does not.
    """
    if "target" not in spec:
        return
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    parameter.grad = torch.ones(2, 2)
    made = own_optimizer(spec, [parameter])
    target = str(spec["target"])
    try:
        made.step()
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(
            f"step() of {target} failed on a parameter of shape (2, 2): "
            f"{type(fault).__name__}: {fault}",
            where=f"{_OPTIMIZER}.target",
            expected="a rule that updates parameters by their gradients, without a closure",
            mend="Name another class",
        ) from fault
    for name, value in made.state[parameter].items():
        if not isinstance(value, torch.Tensor | int | float | None):
            raise ModelError(
                f"{target} keeps a {type(value).__name__}, {name!r}, of a parameter",
                where=f"{_OPTIMIZER}.target",
                expected="tensors and numbers alone, which can be saved without pickle",
                mend="Name another class",
            )


def own_rate(spec: Mapping[str, Any], lr: float, step: int, lengths: Mapping[str, int]) -> float:
    """Return the learning rate of a step by the user's schedule.

    Args:
        spec: `target` and `args`.
        lr: the optimizer's rate.
        step: from 0.
        lengths: `total_steps` and `steps_per_epoch`.

    Raises:
        ModelError: it cannot be found, it failed, or what it gives is no rate.
    """
    args = expanded(spec.get("args") or {})
    schedule = _schedule(str(spec["target"]), json.dumps([args, dict(lengths)]), lr)
    try:
        rate = float(schedule.rate(step))
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise _failed(spec, f"failed at step {step}: {type(fault).__name__}: {fault}") from fault
    if not (math.isfinite(rate) and rate >= 0):
        raise _failed(spec, f"gives a learning rate of {rate} at step {step}")
    return rate


def _failed(spec: Mapping[str, Any], told: str) -> ModelError:
    return ModelError(
        f"{spec['target']} {told}",
        where=_SCHEDULE,
        expected="a function of (step) that returns a factor of lr, not negative, or a class of "
        "torch.optim.lr_scheduler",
        mend=f"Correct it or {_SCHEDULE}.args",
    )


@final
class _Factors:
    """A function of the step that gives a factor."""

    def __init__(self, function: Any, args: Mapping[str, Any], lr: float) -> None:
        self._function = function
        self._args = args
        self._lr = lr

    def rate(self, step: int) -> float:
        return self._lr * float(self._function(step, **self._args))


@final
class _Stepped:
    """A scheduler of torch's kind, stepped as far as it is asked; it begins anew to go back."""

    def __init__(self, maker: Any, args: Mapping[str, Any], lr: float) -> None:
        self._maker = maker
        self._args = args
        self._lr = lr
        self._begin()

    def _begin(self) -> None:
        parameter = torch.nn.Parameter(torch.zeros(1))
        self._optimizer = torch.optim.SGD([parameter], lr=self._lr)
        self._scheduler = self._maker(self._optimizer, **self._args)
        self._step = 0

    def rate(self, step: int) -> float:
        if step < self._step:
            self._begin()
        while self._step < step:
            self._optimizer.step()
            self._scheduler.step()
            self._step += 1
        return float(self._optimizer.param_groups[0]["lr"])


def _takes(function: Any, name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except ValueError:  # of what is built in
        return False


@functools.lru_cache(maxsize=8)
def _schedule(target: str, given: str, lr: float) -> _Factors | _Stepped:
    found = load_target(target, where=f"{_SCHEDULE}.target")
    args, lengths = json.loads(given)
    if not isinstance(found, type):
        named = {name: value for name, value in lengths.items() if _takes(found, name)}
        return _Factors(found, {**named, **args}, lr)
    if not issubclass(found, LRScheduler) or issubclass(found, ReduceLROnPlateau):
        raise ModelError(
            f"{target} is a {'ReduceLROnPlateau' if issubclass(found, LRScheduler) else 'class'}",
            where=f"{_SCHEDULE}.target",
            expected="a schedule that depends on the step alone: a function, or a class of "
            "torch.optim.lr_scheduler",
            mend="Name another one; train.early_stopping looks at metrics",
        )
    try:
        return _Stepped(found, args, lr)
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise _failed({"target": target}, f"failed: {type(fault).__name__}: {fault}") from fault
