"""How rows become a loss: by the model and a loss of its outputs, or by the user's own step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

from distrain.data.loader import Loader
from distrain.data.own.loader import OwnLoader
from distrain.data.own.split import OwnSplit
from distrain.data.plan import Plan
from distrain.data.prepared import PreparedDataset, Split
from distrain.data.worker_parts import WorkerParts
from distrain.errors import ConfigError, ModelError
from distrain.models.feeding import Network, fed
from distrain.train.job import TrainJob
from distrain.train.losses import OutputLoss, OwnStepLoss
from distrain.train.own_step import OwnStep
from distrain.train.world import World


@final
@dataclass(frozen=True)
class Way:
    """What runs a model, and what makes a loss of that.

    Attributes:
        network: runs it with the inputs of rows.
        loss: takes what it gives.
        step: the user's own, which is the network then; or None.
    """

    network: Network
    loss: OutputLoss | OwnStepLoss
    step: OwnStep | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of what is measured beside the loss in training."""
        return () if self.step is None else self.step.names


def way_of(job: TrainJob, model: nn.Module, x: Any, make_loss: Callable[[], OutputLoss]) -> Way:
    """Return how rows become a loss.

    Args:
        job: the run.
        model: the network, on the device of the rows.
        x: the inputs of some rows, or some batch.
        make_loss: gives the loss of the job, where it has one.

    Raises:
        ModelError: the user's step fails on these rows, or the loss cannot be built.
        ConfigError: the model cannot be sharded and run with them.
    """
    if job.step is not None:
        names = OwnStep(job.step, model).found_names(x)
        step = OwnStep(job.step, model, names)
        return Way(step, OwnStepLoss(names), step)
    network = fed(model, x)
    if network is not model and job.strategy == "fsdp":
        raise ConfigError(
            "train.strategy = fsdp stands beside a Dataset whose items have several inputs",
            where="train.strategy",
            expected="one input tensor, which every block of the model is run with",
            mend="Use strategy: ddp",
        )
    return Way(network, make_loss())


def check_rows(job: TrainJob, dataset: PreparedDataset) -> None:
    """Refuse rows that are no inputs and targets, where a loss takes these.

    Raises:
        DataError: they are not.
        ModelError: a model of ours is asked for, and nothing tells how many outputs it has.
    """
    if dataset.own is None:
        return
    if job.step is None:
        dataset.own.check_pairs()
    elif "name" in job.model and not dataset.transform.num_outputs:
        raise ModelError(
            f"{job.model['name']} needs as many outputs as there are classes or targets, which the "
            "Dataset's items do not tell",
            where="model.name",
            expected="a model of your own",
            mend="Name a class: model: {target: package.module:Class}",
        )


def rows_of(job: TrainJob, dataset: PreparedDataset, name: str) -> Split | OwnSplit:
    """Return a split for evaluation; for a step of the user's own, batches as they come."""
    if dataset.own is None:
        return dataset.split(name)
    return dataset.own.split(name, as_is=job.step is not None)


def loader_of(
    job: TrainJob, split: Split | OwnSplit, plan: Plan, world: World
) -> Loader | OwnLoader:
    """Return what delivers this worker's parts of the training rows."""
    one_part = world.world_rank if job.reduction == "fast" else None
    parts = WorkerParts(plan, world.own_parts(job.logical_shards), one_part)
    if isinstance(split, OwnSplit):
        return OwnLoader(split, parts, world.torch_device)
    return Loader(split, parts, world.torch_device)


def compiled(module: nn.Module) -> Callable[[Any], Any]:
    """Return the module compiled for each size of a part, of which there are four at most.

    With sizes left open, the kernel that a part gets, and with it the bits, would depend on the
    parts before it. What earlier runs of this process compiled is forgotten, since it counts
    against the number of sizes beyond which torch no longer compiles, without a word.
    """
    torch.compiler.reset()
    made: Callable[[Any], Any] = torch.compile(module, dynamic=False)
    return made
