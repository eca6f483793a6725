"""From a job and a prepared dataset to everything that the loop works with."""

from dataclasses import dataclass
from functools import partial
from typing import final

import torch

from distrain.data.features import Transform
from distrain.data.loader import Loader
from distrain.data.own.loader import OwnLoader
from distrain.data.plan import Plan
from distrain.data.streamed import Feed
from distrain.models.build import InputNormalizer
from distrain.models.feeding import fed
from distrain.train.checkpoint import STILL
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
from distrain.train.course import Course
from distrain.train.evaluation import AnySplit, Evaluator
from distrain.train.initial import (
    check_alike,
    fingerprints,
    still_digest,
)
from distrain.train.job import TrainJob
from distrain.train.losses import OutputLoss
from distrain.train.metrics import Metric
from distrain.train.network import Way, compiled, loader_of, rows_of, way_of
from distrain.train.own_step import OwnStepEvaluator
from distrain.train.spread import spread
from distrain.train.step import Stepper, vector_length
from distrain.train.strategy import TrainedModel
from distrain.train.sums import open_tree_sum
from distrain.train.training_rows import TrainingRows
from distrain.train.world import World


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
    module = build_for(job, transform).train()
    # While it is whole, and on the CPU.
    made = fingerprints(module, with_trained=world.world_size > 1)
    check_alike(made, type(module).__name__, world)
    training = TrainingRows(dataset, as_is=job.step is not None)
    plan = plan_of(job, training, module)
    rows = training.probe()
    way = way_of(job, module, rows.x, partial(loss_of, job, transform, training, device))
    metrics = metrics_of(job, transform, way)
    check_selection(job, metrics, split_names(dataset))
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
        total_steps=total_steps_of(job, plan),
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
    assert isinstance(way.loss, OutputLoss)
    return Evaluator(
        model.module,
        normalizer,
        way.loss,
        transform,
        world,
        is_sharded=model.is_sharded,
        network=way.network,
    )
