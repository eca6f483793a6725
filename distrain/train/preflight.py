"""Some rows through the model and the loss before anything is launched, on the CPU.

In: a job. Out: what is known of its run, or what speaks against it in words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

import torch

from distrain.data.features import Transform
from distrain.data.loader import check_room
from distrain.data.shards import SPLITS
from distrain.data.tensors import Rows
from distrain.errors import ModelError
from distrain.models.build import InputNormalizer
from distrain.models.check import try_batch
from distrain.models.feeding import Network
from distrain.models.naming import rates_by_name
from distrain.train.components import (
    build_for,
    check_selection,
    loss_of,
    metrics_of,
    open_dataset,
    plan_of,
    split_names,
    total_steps_of,
)
from distrain.train.initial import (
    MOST_BUILT_TWICE,
    check_built_twice,
)
from distrain.train.job import TrainJob
from distrain.train.network import Way, check_rows, way_of
from distrain.train.optimize import learning_rate
from distrain.train.own_loss import OwnLoss
from distrain.train.own_optimizer import check_update_rule
from distrain.train.passes import check_order
from distrain.train.precision import Precision, arithmetic
from distrain.train.sharded import largest_block, named_blocks
from distrain.train.training_rows import TrainingRows

_TRIED_RATES: Final = 2


@final
@dataclass(frozen=True)
class Preflight:
    """What is known of a run before anything is launched.

    Attributes:
        num_parameters: parameters of the model, frozen ones included.
        largest_block: those that a sharded model puts together at a time.
        input_shape: shape of one row that the model is fed.
        num_outputs: width of its outputs.
        steps_per_epoch: steps of an epoch.
        total_steps: steps of the run.
        shapes: name and shape of each entry of the model's state dict.
        plan_digest: fingerprint of the order of rows.
        anew: names in the state dict that begin anew beside weights that are given.
        assumed: of the user's own loss, in words; empty: nothing.
    """

    num_parameters: int
    largest_block: int
    input_shape: tuple[int, ...]
    num_outputs: int
    steps_per_epoch: int
    total_steps: int
    shapes: dict[str, list[int]]
    plan_digest: str = ""
    anew: tuple[str, ...] = ()
    assumed: str = ""


def try_first_batch(job: TrainJob, *, is_for_gpu: bool = False) -> Preflight:
    """Run two training rows through the model and the loss, in this process and on the CPU.

    Args:
        job: the run; nothing is written.
        is_for_gpu: whether the workers have GPUs, which have operations in half precision that a
            CPU lacks: then only float32 is tried.

    Raises:
        ModelError: the model cannot be built, does not fit the data (both shapes are named) or the
            weights that it is to begin with, has an operation that there is not in the run's
            precision, or begins with other weights each time; or a pattern matches none of its
            parameters.
        DataError: there are too few rows, or the prepared dataset is another than the job's.
        ConfigError: the batch is too small for the model, or a metric is not computed.
    """
    dataset = open_dataset(job)
    transform = dataset.transform
    check_rows(job, dataset)
    anew: list[str] = []
    check_update_rule(job.optimizer)
    model = _build_alike(job, transform, anew)
    rates_by_name(model, job.lr_by_name, float(job.optimizer["lr"]))
    training = TrainingRows(dataset, as_is=job.step is not None)
    plan = plan_of(job, training, model)
    if dataset.own is None:
        train, *evaluated = map(dataset.shard_split, SPLITS)
        check_room(train, evaluated, plan, range(1))
    rows = training.probe()
    x = InputNormalizer(transform.image)(rows.x)
    way = way_of(job, model, x, partial(loss_of, job, transform, training, torch.device("cpu")))
    check_selection(job, metrics_of(job, transform, way), split_names(dataset))
    total_steps = total_steps_of(job, plan)
    for step in range(min(_TRIED_RATES, total_steps)):
        learning_rate(
            job.lr_schedule,
            float(job.optimizer["lr"]),
            step,
            total_steps=total_steps,
            steps_per_epoch=plan.steps_per_epoch,
        )
    assumed = ""
    if way.step is None:
        assumed = _try_rows(job, model, way, x, rows, transform, is_for_gpu=is_for_gpu)
    return Preflight(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        largest_block=largest_block(model),
        input_shape=transform.input_shape,
        num_outputs=transform.num_outputs,
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=total_steps,
        shapes={name: list(value.shape) for name, value in model.state_dict().items()},
        plan_digest=plan.digest,
        anew=tuple(anew),
        assumed=assumed,
    )


def _try_rows(  # noqa: PLR0913 - all that a pass over some rows takes
    job: TrainJob,
    model: torch.nn.Module,
    way: Way,
    x: Any,
    rows: Rows,
    transform: Transform,
    *,
    is_for_gpu: bool,
) -> str:
    """Run some rows through the model and the loss, in the run's precision where a CPU has it.

    Returns:
        What is assumed of the user's own loss.
    """
    assumed = ""

    def loss(outputs: torch.Tensor) -> torch.Tensor:
        nonlocal assumed
        if isinstance(way.loss, OwnLoss):
            assumed = way.loss.check(outputs.detach(), rows)
        return way.loss(outputs, rows)[0]

    try_rows = partial(
        try_batch,
        model,
        x,
        num_outputs=transform.num_outputs,
        num_rows=len(rows),
        loss=loss,
        forward=way.network,
    )
    try_rows()
    if job.precision != "fp32" and not is_for_gpu:
        _try_precision(job.precision, way.network, try_rows)
    if job.strategy == "fsdp":
        check_order(model, dict(named_blocks(model)), x)
    return assumed


def _try_precision(precision: Precision, network: Network, try_rows: Callable[..., None]) -> None:
    """Try the rows, which are known to pass in float32, in the run's precision."""

    def forward(x: Any) -> torch.Tensor:
        with arithmetic(precision, torch.device("cpu")):
            outputs: torch.Tensor = network(x)
        return outputs.float()

    try:
        try_rows(forward=forward)
    except ModelError as fault:
        raise ModelError(
            f"the model, which runs in fp32, does not in {precision} on a CPU: {fault.message}",
            where="train.precision",
            expected=f"operations that torch has in {precision}",
            mend="Set train.precision to "
            + ("fp32" if precision == "bf16" else "bf16 or fp32")
            + ", or train on GPUs",
        ) from fault


def _build_alike(job: TrainJob, transform: Transform, anew: list[str]) -> torch.nn.Module:
    """Build the model; one of the user's own, unless it is large, twice, to compare the weights."""
    model = build_for(job, transform, anew)
    num_elements = sum(value.numel() for value in model.state_dict().values())
    if "target" in job.model and num_elements <= MOST_BUILT_TWICE:
        check_built_twice(model, build_for(job, transform))
    return model
