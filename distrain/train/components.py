"""What a run is put together from, each by one function: data, model, plan, loss and metrics."""

from collections.abc import Sequence

import torch

from distrain.data.features import Transform
from distrain.data.files import SourceFile
from distrain.data.plan import Plan
from distrain.data.prepared import PreparedDataset
from distrain.data.recipe import located
from distrain.data.shard_cache import shard_cache
from distrain.errors import ConfigError, DataError, did_you_mean
from distrain.models.build import build_model, min_part_rows
from distrain.models.naming import freeze
from distrain.models.recompute import recompute_blocks
from distrain.train.course import model_section
from distrain.train.job import TrainJob
from distrain.train.losses import OutputLoss, build_loss, default_loss
from distrain.train.metrics import Metric, resolve_metrics
from distrain.train.network import Way
from distrain.train.selection import Selection
from distrain.train.sharded import check_can_be_cut
from distrain.train.starting import begin_with
from distrain.train.training_rows import TrainingRows


def metrics_of(job: TrainJob, transform: Transform, way: Way) -> tuple[Metric, ...]:
    """Return what is computed of a split; of a step of the user's own, what that returns."""
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


def build_for(
    job: TrainJob, transform: Transform, anew: list[str] | None = None
) -> torch.nn.Module:
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


def plan_of(job: TrainJob, training: TrainingRows, model: torch.nn.Module) -> Plan:
    """Return which rows make up each step."""
    return Plan(
        num_rows=training.num_rows,
        global_batch_size=job.global_batch_size,
        logical_shards=job.logical_shards,
        min_part_rows=min_part_rows(model),
        seed=job.seed,
        blocks=training.blocks,
    )


def total_steps_of(job: TrainJob, plan: Plan) -> int:
    """Return the steps of the whole run.

    Raises:
        ConfigError: the job tells no length.
    """
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


def loss_of(
    job: TrainJob, transform: Transform, training: TrainingRows, device: torch.device
) -> OutputLoss:
    """Return the loss that is named, or that of the task."""
    return build_loss(
        job.loss or default_loss(transform.task),
        transform=transform,
        class_counts=lambda: training.class_counts(len(transform.classes)),
        device=device,
    )


def check_selection(job: TrainJob, metrics: Sequence[Metric], splits: Sequence[str]) -> None:
    """Refuse to select by a metric that nobody computes.

    Raises:
        ConfigError: nobody does.
    """
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
