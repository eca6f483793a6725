"""The course of a run: which settings are in force at a step, where they change (`train.changes`).

A checkpoint of a step is that of every run with the same settings up to there, so its digest is one
of these alone: a run whose settings differ only later takes it up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

from distrain.train.job import TrainJob
from distrain.train.optimize import change_optimizer
from distrain.train.strategy import Gradients


@final
@dataclass(frozen=True)
class Part:
    """A part of a run, with settings of its own.

    Attributes:
        step: committed steps before it.
        optimizer: the `train.optimizer` section.
        gradient_clip_norm: greatest L2 norm of the gradient; None: no limit.
        dropout: of a model of ours that has one.
        config_digest: of the settings up to here.
    """

    step: int
    optimizer: Mapping[str, Any]
    gradient_clip_norm: float | None
    dropout: float | None
    config_digest: str


def parts_of(job: TrainJob) -> tuple[Part, ...]:
    """Return the parts of a run in their order; one, where nothing changes."""
    dropout = job.model.get("dropout")
    first = Part(0, job.optimizer, job.gradient_clip_norm, dropout, job.config_digest)
    return (first, *(Part(**change) for change in job.changes))


def config_digest_at(job: TrainJob, step: int) -> str:
    """Return the digest of the configuration that a checkpoint of a step was made with."""
    return [part for part in parts_of(job) if part.step < max(step, 1)][-1].config_digest


def model_section(job: TrainJob) -> Mapping[str, Any]:
    """Return the `model` section that a run's model is built from.

    A dropout of 0 is no layer of the model. Where one follows in the course of the run, the layers
    are there from the beginning; they have no parameters, and do nothing at 0.
    """
    most = max((part.dropout or 0.0 for part in parts_of(job)), default=0.0)
    return {**job.model, "dropout": most} if most and not job.model["dropout"] else job.model


@final
class Course:
    """Puts settings in force as a run comes to where they change.

    Args:
        job: the run.
        module: its model.
        optimizer: over its parameters.
        gradients: how they are updated.
    """

    def __init__(
        self,
        job: TrainJob,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        gradients: Gradients,
    ) -> None:
        self._parts = parts_of(job)
        self._module = module
        self._optimizer = optimizer
        self._gradients = gradients
        self._index: int | None = None

    def enter(self, step: int) -> float:
        """Put in force what holds in the next step, and return the optimizer's learning rate.

        Args:
            step: committed steps.
        """
        index = max(i for i, part in enumerate(self._parts) if part.step <= step)
        if index != self._index and len(self._parts) > 1:
            self._put_in_force(self._parts[index])
        self._index = index
        return float(self._parts[index].optimizer["lr"])

    def _put_in_force(self, part: Part) -> None:
        change_optimizer(self._optimizer, part.optimizer)
        norm = part.gradient_clip_norm
        self._gradients.clip_norm = None if norm is None else float(norm)
        if part.dropout is not None:
            for module in self._module.modules():
                if isinstance(module, nn.Dropout):
                    module.p = float(part.dropout)
