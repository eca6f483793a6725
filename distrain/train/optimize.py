"""Update rules by name, and the learning rate as a pure function of the step."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from distrain.train.own_optimizer import own_optimizer, own_rate


def build_optimizer(
    spec: Mapping[str, Any], parameters: Sequence[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """Return the optimizer of a `train.optimizer` section, which has one group.

    The fused kernels are used where torch has them (all but rmsprop): they are one pass over
    memory, half the time on a CPU. Their bits differ from those of the unfused ones, so the choice
    is fixed here and not left to torch, which chooses by device.

    Args:
        spec: `name` and the settings of that optimizer; or the user's `target`, `lr` and `args`.
        parameters: all that are trained, or one vector of them.

    Raises:
        ModelError: the user's class cannot be found or made.
    """
    if "target" in spec:
        return own_optimizer(spec, parameters)
    name = spec["name"]
    lr, weight_decay = float(spec["lr"]), float(spec.get("weight_decay", 0.0))
    if name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=lr,
            momentum=float(spec.get("momentum", 0.9)),
            nesterov=bool(spec.get("nesterov", False)),
            weight_decay=weight_decay,
            fused=True,
        )
    if name == "rmsprop":
        return torch.optim.RMSprop(
            parameters,
            lr=lr,
            alpha=float(spec.get("alpha", 0.99)),
            momentum=float(spec.get("momentum", 0.0)),
            eps=float(spec.get("eps", 1e-8)),
            weight_decay=weight_decay,
        )
    rule = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    beta1, beta2 = spec.get("betas", (0.9, 0.999))
    return rule(
        parameters,
        lr=lr,
        betas=(float(beta1), float(beta2)),
        eps=float(spec.get("eps", 1e-8)),
        weight_decay=weight_decay,
        fused=True,
    )


def one_group_each(optimizer: torch.optim.Optimizer) -> None:
    """Let each parameter of an optimizer have settings of its own, such as its rate, in place."""
    (group,) = optimizer.param_groups
    optimizer.param_groups[:] = [{**group, "params": [one]} for one in group["params"]]


def change_optimizer(optimizer: torch.optim.Optimizer, spec: Mapping[str, Any]) -> None:
    """Give an optimizer other settings, but for its learning rate; what it keeps stays.

    Args:
        optimizer: as `build_optimizer` gives it.
        spec: a whole `train.optimizer` section of the same name.
    """
    for group in optimizer.param_groups:
        for key, value in spec.items():
            if key in group and key != "lr":
                group[key] = type(group[key])(value)


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, prefixes: Sequence[str] = ("",)
) -> dict[str, torch.Tensor]:
    """Return the optimizer's state by name, not copied; empty before a step.

    Args:
        optimizer: as `build_optimizer` gives it.
        prefixes: how the names of each parameter's state begin.
    """
    states = optimizer.state_dict()["state"]
    return {
        prefix + name: value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for index, prefix in enumerate(prefixes)
        for name, value in states.get(index, {}).items()
        if value is not None
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, torch.Tensor],
    prefixes: Sequence[str] = ("",),
) -> None:
    """Put back what `optimizer_tensors` gave."""
    state = optimizer.state_dict()
    state["state"] = {
        index: {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        for index, prefix in enumerate(prefixes)
        if tensors
    }
    optimizer.load_state_dict(state)


def learning_rate(
    spec: Mapping[str, Any], lr: float, step: int, *, total_steps: int, steps_per_epoch: int
) -> float:
    """Return the learning rate of a step.

    Args:
        spec: a `train.lr_schedule` section: `name` and the settings of that schedule; or the user's
            `target` and `args`.
        lr: the optimizer's rate: the plateau or the peak.
        step: from 0.
        total_steps: steps of the whole run.
        steps_per_epoch: steps of an epoch.

    Raises:
        ModelError: the user's schedule failed.
    """
    if "target" in spec:
        lengths = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
        return own_rate(spec, lr, step, lengths)
    name = spec["name"]
    if name == "one_cycle":
        return _one_cycle(spec, lr, step, total_steps)
    warmup = int(spec.get("warmup_steps", 0))
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if name == "step":
        falls = (step // steps_per_epoch) // int(spec.get("every_epochs", 10))
        return float(lr * rise * spec.get("gamma", 0.1) ** falls)
    if name == "cosine":
        if step < warmup:
            return lr * rise
        last = lr * float(spec.get("final_fraction", 0.0))
        return _between(lr, last, (step - warmup) / max(1, total_steps - 1 - warmup))
    return lr * rise


def _one_cycle(spec: Mapping[str, Any], lr: float, step: int, total_steps: int) -> float:
    peak = float(spec.get("peak_fraction", 0.3)) * (total_steps - 1)
    first = lr * float(spec.get("start_fraction", 0.04))
    last = lr * float(spec.get("final_fraction", 0.0))
    if step < peak:
        return _between(first, lr, step / peak)
    return _between(lr, last, (step - peak) / max(1.0, total_steps - 1 - peak))


def _between(start: float, end: float, fraction: float) -> float:
    """Return the point at a fraction in [0, 1] of half a cosine from start to end."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, fraction)))
