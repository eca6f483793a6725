"""From a job and a prepared dataset to everything that the loop works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

import torch

from distrain.data.features import Transform
from distrain.data.files import SourceFile
from distrain.data.loader import Loader, check_room
from distrain.data.own.loader import OwnLoader
from distrain.data.plan import Plan
from distrain.data.prepared import PreparedDataset
from distrain.data.recipe import located
from distrain.data.shard_cache import shard_cache
from distrain.data.shards import SPLITS
from distrain.data.streamed import Feed
from distrain.data.tensors import Rows
from distrain.errors import ConfigError, DataError, ModelError, did_you_mean
from distrain.models.build import InputNormalizer, build_model, min_part_rows
from distrain.models.check import try_batch
from distrain.models.feeding import Network, fed
from distrain.models.naming import freeze, rates_by_name
from distrain.models.recompute import recompute_blocks
from distrain.train.checkpoint import STILL
from distrain.train.course import Course, model_section
from distrain.train.evaluation import AnySplit, Evaluator
from distrain.train.initial import (
    MOST_BUILT_TWICE,
    check_alike,
    check_built_twice,
    fingerprints,
    still_digest,
)
from distrain.train.job import TrainJob
from distrain.train.losses import Loss, build_loss, default_loss
from distrain.train.metrics import Metric, resolve_metrics
from distrain.train.network import Way, check_rows, compiled, loader_of, rows_of, way_of
from distrain.train.optimize import learning_rate
from distrain.train.own_optimizer import check_update_rule
from distrain.train.own_step import OwnStepEvaluator
from distrain.train.passes import check_order
from distrain.train.precision import Precision, arithmetic
from distrain.train.selection import Selection
from distrain.train.sharded import check_can_be_cut, largest_block, named_blocks
from distrain.train.spread import spread
from distrain.train.starting import begin_with
from distrain.train.step import Stepper, vector_length
from distrain.train.strategy import TrainedModel
from distrain.train.sums import open_tree_sum
from distrain.train.training_rows import TrainingRows
from distrain.train.world import World

_TRIED_RATES: Final = 2


@final
@dataclass(frozen=True)
class Setup:
    """What a worker trains with.

    Attributes:
        plan: which rows make up which step.
        total_steps: steps of the run.
        record_every_steps: steps between two records of the training loss.
        model: the network.
        optimizer: over its parameters.
        stepper: takes steps.
        course: puts in force what changes on the way.
        evaluator: measures splits.
        loader: delivers this worker's rows.
        metrics: what is measured beside the loss.
        step_names: of what a step of the user's own returns.
        validation: the validation split; it may be empty.
        test: the test split; it may be empty.
        digests: what a checkpoint must agree with, beside the configuration.
    """

    plan: Plan
    total_steps: int
    record_every_steps: int
    model: TrainedModel
    optimizer: torch.optim.Optimizer
    stepper: Stepper
    course: Course
    evaluator: Evaluator | OwnStepEvaluator
    loader: Loader | OwnLoader
    metrics: tuple[Metric, ...]
    step_names: tuple[str, ...]
    validation: AnySplit
    test: AnySplit
    digests: dict[str, str]


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
    plan = _plan(job, training, model)
    if dataset.own is None:
        train, *evaluated = map(dataset.shard_split, SPLITS)
        check_room(train, evaluated, plan, range(1))
    rows = training.probe()
    x = InputNormalizer(transform.image)(rows.x)
    way = way_of(job, model, x, partial(_loss, job, transform, training, torch.device("cpu")))
    _check_selection(job, _metrics(job, transform, way), split_names(dataset))
    total_steps = _total_steps(job, plan)
    for step in range(min(_TRIED_RATES, total_steps)):
        learning_rate(
            job.lr_schedule,
            float(job.optimizer["lr"]),
            step,
            total_steps=total_steps,
            steps_per_epoch=plan.steps_per_epoch,
        )
    if way.step is None:
        _try_rows(job, model, way, x, rows, transform, is_for_gpu=is_for_gpu)
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
) -> None:
    """Run some rows through the model and the loss, in the run's precision where a CPU has it."""
    try_rows = partial(
        try_batch,
        model,
        x,
        num_outputs=transform.num_outputs,
        num_rows=len(rows),
        loss=lambda outputs: way.loss(outputs, rows)[0],
        forward=way.network,
    )
    try_rows()
    if job.precision != "fp32" and not is_for_gpu:
        _try_precision(job.precision, way.network, try_rows)
    if job.strategy == "fsdp":
        check_order(model, dict(named_blocks(model)), x)


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


def set_up(job: TrainJob, world: World, feed: Feed | None = None) -> Setup:
    """Return what a worker trains with; all workers must call.

    Args:
        job: the run.
        world: sizes and ranks.
        feed: where the rows of a streamed training split come from; None: from this process.

    Raises:
        ModelError: the model, the loss or a metric cannot be built, or the workers have made the
            model with different weights.
        DataError: the prepared dataset is missing, damaged, or another than the job's.
        ConfigError: the batch is too small for the model, or a metric is not computed.
    """
    device = world.torch_device
    dataset = open_dataset(job)
    transform = dataset.transform
    module = _build(job, transform).train()
    # While it is whole, and on the CPU.
    made = fingerprints(module, with_trained=world.world_size > 1)
    check_alike(made, type(module).__name__, world)
    training = TrainingRows(dataset, as_is=job.step is not None)
    plan = _plan(job, training, module)
    rows = training.probe()
    way = way_of(job, module, rows.x, partial(_loss, job, transform, training, device))
    metrics = _metrics(job, transform, way)
    _check_selection(job, metrics, split_names(dataset))
    normalizer = InputNormalizer(transform.image, device)
    probe = normalizer(rows.to(device).x)
    model, optimizer, gradients = spread(job, module, probe, way.network, plan, world)
    length = vector_length(model, gradients, way.loss.num_extras)
    stepper = Stepper(
        model,
        way.loss,
        gradients,
        open_tree_sum(job.logical_shards, length, world, job.reduction),
        normalizer,
        seed=job.seed,
        probe=probe,
        precision=job.precision,
        forward=fed(module, probe, compiled(module)) if job.compile else way.network,
        world=world,
    )
    return Setup(
        plan=plan,
        total_steps=_total_steps(job, plan),
        record_every_steps=job.record_every_steps or plan.steps_per_epoch,
        model=model,
        optimizer=optimizer,
        stepper=stepper,
        course=Course(job, module, optimizer, gradients),
        evaluator=_evaluator(way, model, normalizer, transform, world),
        loader=loader_of(job, training.split(feed, job.seed), plan, world),
        step_names=way.names,
        metrics=metrics,
        validation=rows_of(job, dataset, "validation"),
        test=rows_of(job, dataset, "test"),
        digests={
            "plan": plan.digest,
            "prepared dataset": dataset.digest,
            "kind of device": device.type,
            STILL: still_digest(module, made, model.buffers.names),
            **({"strategy": job.strategy} if model.is_sharded else {}),
        },
    )


def _evaluator(
    way: Way,
    model: TrainedModel,
    normalizer: InputNormalizer,
    transform: Transform,
    world: World,
) -> Evaluator | OwnStepEvaluator:
    if way.step is not None:
        return OwnStepEvaluator(model.module, way.step, world)
    assert isinstance(way.loss, Loss)
    return Evaluator(
        model.module,
        normalizer,
        way.loss,
        transform,
        world,
        is_sharded=model.is_sharded,
        network=way.network,
    )


def _metrics(job: TrainJob, transform: Transform, way: Way) -> tuple[Metric, ...]:
    if way.step is not None:
        return tuple(map(Metric, way.names))
    return resolve_metrics(job.metrics, transform.task)


def open_dataset(job: TrainJob) -> PreparedDataset:
    """Return the job's prepared dataset.

    Raises:
        DataError: it is missing, damaged, or another than the job's.
    """
    cache = shard_cache(job.fetch_into, job.fetch_max_bytes)
    dataset = PreparedDataset.open(job.prepared_dir, cache)
    if job.data_digest and dataset.digest != job.data_digest:
        raise DataError(
            f"the prepared dataset has the digest {dataset.digest[:12]}...",
            where=job.prepared_dir,
            expected=f"{job.data_digest[:12]}..., which the run was started with",
            mend="Prepare the data again",
        )
    if dataset.own is not None:
        return dataset.read_by(job.loader_workers)
    files = [SourceFile(**file) for file in job.source_files]
    return located(dataset, files) if files else dataset


def split_names(dataset: PreparedDataset) -> list[str]:
    """Return the names of the splits that have rows."""
    return [name for name in ("train", "validation", "test") if dataset.split(name).num_rows]


def _build(job: TrainJob, transform: Transform, anew: list[str] | None = None) -> torch.nn.Module:
    """Return the model, with the weights that it begins with.

    Args:
        job: the run.
        transform: of its data.
        anew: takes the names of what begins anew beside weights that are given.
    """
    model = build_model(
        model_section(job),
        input_shape=transform.input_shape,
        num_outputs=transform.num_outputs,
        seed=job.seed,
        columns=transform.column_widths,
    )
    if job.init_from is not None:
        fresh = begin_with(model, job.init_from, num_outputs=transform.num_outputs)
        if anew is not None:
            anew[:] = fresh
    freeze(model, job.freeze)
    if job.strategy == "fsdp":
        check_can_be_cut(model)
    if job.activation_checkpointing:
        recompute_blocks(model)
    return model


def _build_alike(job: TrainJob, transform: Transform, anew: list[str]) -> torch.nn.Module:
    """Build the model; one of the user's own, unless it is large, twice, to compare the weights."""
    model = _build(job, transform, anew)
    num_elements = sum(value.numel() for value in model.state_dict().values())
    if "target" in job.model and num_elements <= MOST_BUILT_TWICE:
        check_built_twice(model, _build(job, transform))
    return model


def _plan(job: TrainJob, training: TrainingRows, model: torch.nn.Module) -> Plan:
    return Plan(
        num_rows=training.num_rows,
        global_batch_size=job.global_batch_size,
        logical_shards=job.logical_shards,
        min_part_rows=min_part_rows(model),
        seed=job.seed,
        blocks=training.blocks,
    )


def _total_steps(job: TrainJob, plan: Plan) -> int:
    if job.steps is not None:
        return job.steps
    if job.epochs is None:
        raise ConfigError(
            "neither epochs nor steps is given",
            where="train.epochs",
            expected="one of the two",
            mend="Give train.epochs, e.g. 20, or train.steps",
        )
    return job.epochs * plan.steps_per_epoch


def _loss(
    job: TrainJob, transform: Transform, training: TrainingRows, device: torch.device
) -> Loss:
    return build_loss(
        job.loss or default_loss(transform.task),
        transform=transform,
        class_counts=lambda: training.class_counts(len(transform.classes)),
        device=device,
    )


def _check_selection(job: TrainJob, metrics: Sequence[Metric], splits: Sequence[str]) -> None:
    """Refuse to select by a metric that nobody computes."""
    if job.early_stopping is None:
        return
    name = Selection.of(job.early_stopping).metric
    check_computed(name, "train.early_stopping.metric", metrics, splits)


def check_computed(name: str, where: str, metrics: Sequence[Metric], splits: Sequence[str]) -> None:
    """Refuse to steer by a metric that nobody computes while training.

    Args:
        name: with its split.
        where: the key that names it.
        metrics: what is computed, beside the loss.
        splits: names of those that have rows.

    Raises:
        ConfigError: it is not among them.
    """
    known = ["train/loss"]
    if "validation" in splits:
        known += [f"validation/{metric}" for metric in ("loss", *(m.name for m in metrics))]
    if name not in known:
        raise ConfigError(
            f"{name!r} is not computed",
            where=where,
            expected="a metric that is computed while training",
            mend=did_you_mean(name, known, listed="Computed"),
        )
