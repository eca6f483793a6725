"""From a job and a prepared dataset to everything that the loop works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch

from distrain.data.features import Transform
from distrain.data.loader import Loader, check_room
from distrain.data.plan import Plan
from distrain.data.prepared import PreparedDataset, Split
from distrain.data.shard_cache import shard_cache
from distrain.data.tensors import Rows, to_rows
from distrain.errors import ConfigError, DataError, did_you_mean
from distrain.models.build import InputNormalizer, build_model, min_part_rows
from distrain.models.check import try_batch
from distrain.models.recompute import recompute_blocks
from distrain.train.evaluation import Evaluator
from distrain.train.flat import FlatModel
from distrain.train.job import TrainJob
from distrain.train.losses import Loss, build_loss, default_loss
from distrain.train.metrics import Metric, resolve_metrics
from distrain.train.optimize import build_optimizer
from distrain.train.selection import Selection
from distrain.train.step import Stepper, vector_length
from distrain.train.sums import open_tree_sum
from distrain.train.world import World

PROBE_ROWS: Final = 2
COUNTING_ROWS: Final = 1 << 16


@final
@dataclass(frozen=True)
class Setup:
    """What a worker trains with.

    Attributes:
        plan: which rows make up which step.
        total_steps: steps of the run.
        model: the network.
        optimizer: over its vector.
        stepper: takes steps.
        evaluator: measures splits.
        loader: delivers this worker's rows.
        metrics: what is measured beside the loss.
        validation: the validation split; it may be empty.
        test: the test split; it may be empty.
        digests: what a checkpoint must agree with.
    """

    plan: Plan
    total_steps: int
    model: FlatModel
    optimizer: torch.optim.Optimizer
    stepper: Stepper
    evaluator: Evaluator
    loader: Loader
    metrics: tuple[Metric, ...]
    validation: Split
    test: Split
    digests: dict[str, str]


@final
@dataclass(frozen=True)
class Preflight:
    """What is known of a run before anything is launched.

    Attributes:
        num_parameters: parameters of the model, frozen ones included.
        input_shape: shape of one row that the model is fed.
        num_outputs: width of its outputs.
        steps_per_epoch: steps of an epoch.
        total_steps: steps of the run.
        shapes: name and shape of each entry of the model's state dict.
    """

    num_parameters: int
    input_shape: tuple[int, ...]
    num_outputs: int
    steps_per_epoch: int
    total_steps: int
    shapes: dict[str, list[int]]


def try_first_batch(job: TrainJob) -> Preflight:
    """Run two training rows through the model and the loss, in this process and on the CPU.

    Args:
        job: the run; nothing is written.

    Raises:
        ModelError: the model cannot be built, or does not fit the data; both shapes are named.
        DataError: there are too few rows, or the prepared dataset is another than the job's.
        ConfigError: the batch is too small for the model, or a metric is not computed.
    """
    dataset = open_dataset(job)
    transform = dataset.transform
    model = _build(job, transform)
    split = dataset.split("train")
    plan = _plan(job, split, model)
    check_room(split, [dataset.split("validation"), dataset.split("test")], plan, range(1))
    loss = _loss(job, transform, split, torch.device("cpu"))
    _check_selection(job, resolve_metrics(job.metrics, transform.task), split_names(dataset))
    rows = _probe(split)
    try_batch(
        model,
        InputNormalizer(transform.image)(rows.x),
        num_outputs=transform.num_outputs,
        loss=lambda outputs: loss(outputs, rows)[0],
    )
    return Preflight(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        input_shape=transform.input_shape,
        num_outputs=transform.num_outputs,
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=_total_steps(job, plan),
        shapes={name: list(value.shape) for name, value in model.state_dict().items()},
    )


def set_up(job: TrainJob, world: World) -> Setup:
    """Return what a worker trains with.

    Args:
        job: the run.
        world: sizes and ranks.

    Raises:
        ModelError: the model, the loss or a metric cannot be built.
        DataError: the prepared dataset is missing, damaged, or another than the job's.
        ConfigError: the batch is too small for the model, or a metric is not computed.
    """
    device = world.torch_device
    dataset = open_dataset(job)
    transform = dataset.transform
    module = _build(job, transform).to(device).train()
    split = dataset.split("train")
    plan = _plan(job, split, module)
    metrics = resolve_metrics(job.metrics, transform.task)
    _check_selection(job, metrics, split_names(dataset))
    loss = _loss(job, transform, split, device)
    normalizer = InputNormalizer(transform.image, device)
    model = FlatModel(module, normalizer(_probe(split).to(device).x))
    optimizer = build_optimizer(job.optimizer, model.vector)
    stepper = Stepper(
        model,
        loss,
        optimizer,
        open_tree_sum(job.logical_shards, vector_length(model), world, job.reduction),
        normalizer,
        seed=job.seed,
        clip_norm=job.gradient_clip_norm,
        precision=job.precision,
        forward=_compiled(module) if job.compile else module,
        world=world,
    )
    return Setup(
        plan=plan,
        total_steps=_total_steps(job, plan),
        model=model,
        optimizer=optimizer,
        stepper=stepper,
        evaluator=Evaluator(module, normalizer, loss, transform, world),
        loader=Loader(
            split,
            plan,
            world.own_parts(job.logical_shards),
            device,
            one_part=world.world_rank if job.reduction == "fast" else None,
        ),
        metrics=metrics,
        validation=dataset.split("validation"),
        test=dataset.split("test"),
        digests={
            "plan": plan.digest,
            "prepared dataset": dataset.digest,
            "configuration": job.config_digest,
            "kind of device": device.type,
        },
    )


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
    return dataset


def split_names(dataset: PreparedDataset) -> list[str]:
    """Return the names of the splits that have rows."""
    return [name for name in ("train", "validation", "test") if dataset.split(name).num_rows]


def _build(job: TrainJob, transform: Transform) -> torch.nn.Module:
    model = build_model(
        job.model,
        input_shape=transform.input_shape,
        num_outputs=transform.num_outputs,
        seed=job.seed,
    )
    if job.activation_checkpointing:
        recompute_blocks(model)
    return model


def _compiled(module: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the module compiled for each size of a part, of which there are four at most.

    With sizes left open, the kernel that a part gets, and with it the bits, would depend on the
    parts before it. What earlier runs of this process compiled is forgotten, since it counts
    against the number of sizes beyond which torch no longer compiles, without a word.
    """
    torch.compiler.reset()
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(module, dynamic=False)
    return compiled


def _plan(job: TrainJob, split: Split, model: torch.nn.Module) -> Plan:
    return Plan(
        num_rows=split.num_rows,
        global_batch_size=job.global_batch_size,
        logical_shards=job.logical_shards,
        min_part_rows=min_part_rows(model),
        seed=job.seed,
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


def _loss(job: TrainJob, transform: Transform, split: Split, device: torch.device) -> Loss:
    return build_loss(
        job.loss or default_loss(transform.task),
        transform=transform,
        class_counts=lambda: _class_counts(split, len(transform.classes)),
        device=device,
    )


def _class_counts(split: Split, num_classes: int) -> list[int]:
    counts = np.zeros(num_classes, dtype=np.int64)
    for start in range(0, split.num_rows, COUNTING_ROWS):
        labels = split.slice(start, min(split.num_rows, start + COUNTING_ROWS))["y"]
        counts += np.bincount(labels, minlength=num_classes)
    return [int(count) for count in counts]


def _probe(split: Split) -> Rows:
    return to_rows(split.slice(0, min(PROBE_ROWS, split.num_rows)))


def _check_selection(job: TrainJob, metrics: Sequence[Metric], splits: Sequence[str]) -> None:
    """Refuse to select by a metric that nobody computes."""
    if job.early_stopping is None:
        return
    name = Selection.of(job.early_stopping).metric
    known = ["train/loss"]
    if "validation" in splits:
        known += [f"validation/{metric}" for metric in ("loss", *(m.name for m in metrics))]
    if name not in known:
        raise ConfigError(
            f"{name!r} is not computed",
            where="train.early_stopping.metric",
            expected="a metric that is computed while training",
            mend=did_you_mean(name, known, listed="Computed"),
        )
