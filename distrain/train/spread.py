"""From a job to the way its model is spread over the workers: model, optimizer, gradients."""

from typing import Any

import torch
from torch import nn

from distrain.data.plan import Plan
from distrain.models.feeding import Network
from distrain.models.naming import rates_by_name
from distrain.train.flat import FlatGradients, FlatModel
from distrain.train.job import TrainJob
from distrain.train.optimize import build_optimizer, one_group_each
from distrain.train.sharded import ShardedGradients, ShardedModel
from distrain.train.strategy import Gradients, TrainedModel
from distrain.train.world import World


def spread(
    job: TrainJob, module: nn.Module, probe: Any, network: Network, plan: Plan, world: World
) -> tuple[TrainedModel, torch.optim.Optimizer, Gradients]:
    """Return a model on the workers' devices, its optimizer, and how it is updated.

    All workers must call.

    Args:
        job: the run.
        module: the network, on the CPU; it is changed in place.
        probe: rows as it is fed them, on this worker's device.
        network: what runs it with such rows; with `strategy: fsdp` that is the module itself.
        plan: which rows make up which step.
        world: sizes and ranks.
    """
    if job.strategy == "ddp":
        factor = rates_by_name(module, job.lr_by_name, float(job.optimizer["lr"]))
        flat = FlatModel(module.to(world.torch_device), probe, network, factor)
        if "target" in job.optimizer:
            flat.separate()
        optimizer = build_optimizer(job.optimizer, flat.parameters)
        if len(flat.factors) > 1:
            one_group_each(optimizer)
        return flat, optimizer, FlatGradients(flat, optimizer, job.gradient_clip_norm)
    sharded = ShardedModel(module, probe, world)
    optimizer = build_optimizer(job.optimizer, sharded.parameters)
    is_fast = job.reduction == "fast"  # then each worker's rows are one part
    gradients = ShardedGradients(
        sharded,
        optimizer,
        job.gradient_clip_norm,
        num_parts=lambda rows: world.world_size if is_fast else len(plan.parts(rows)),
        most_parts=1 if is_fast else len(World(world.world_size).own_parts(job.logical_shards)),
        world=world,
    )
    return sharded, optimizer, gradients
