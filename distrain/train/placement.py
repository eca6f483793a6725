"""How many workers, and whether they can ever be placed. Pure arithmetic, no Ray."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from distrain.config.settings import Settings
from distrain.config.train import ElasticWorkers, TrainSettings
from distrain.errors import ConfigError
from distrain.ray_session import MAX_LOCAL_WORKERS
from distrain.train.bounds import ANY_NUMBER, Bounds, whole_times
from distrain.train.growth import FIXED, Growth

_OF_ADDRESS: Final = "node:"
_OF_HEAD: Final = "node:__internal_head__"
_FREE: Final = Bounds()


@dataclass(frozen=True)
class Placement:
    """The workers of a run and what Ray reserves for each.

    Args:
        num_workers: worker processes, at least 1; of an elastic run, at most.
        cpu: CPUs per worker.
        gpu: GPUs per worker; 0 trains on CPUs, below 1 workers share a GPU.
        least: worker processes that an elastic run needs at least; 0: all of them.
        group_size: workers that are placed together, all or none: those of one trial of a search,
            of which `num_workers` are as many whole groups as run at a time.
        num_hosts: how many hosts the nodes are on that they may be placed on.
    """

    num_workers: int
    cpu: float
    gpu: float
    least: int = 0
    group_size: int = 1
    num_hosts: int = 1

    @property
    def min_workers(self) -> int:
        """Return how many workers there must be."""
        return self.least or self.num_workers

    @property
    def is_bounded(self) -> bool:
        """Return whether it is known how many there are: no cluster has to be looked at for it."""
        return self.num_workers < ANY_NUMBER // 2

    @property
    def num_groups(self) -> int:
        """Return how many groups run at a time: the trials of a search."""
        return self.num_workers // self.group_size

    @property
    def group_text(self) -> str:
        """Return in words what Ray reserves for one group."""
        gpu = f" and {self.gpu:g} GPU" if self.gpu else ""
        each = f"{self.cpu:g} CPU{gpu}"
        return each if self.group_size == 1 else f"{self.group_size} workers with {each} each"

    @property
    def workers_text(self) -> str:
        """Return in words how many workers there are."""
        if self.min_workers < self.num_workers:
            return f"{self.min_workers} to {self.num_workers} workers"
        return f"{self.num_workers} worker{'s' if self.num_workers > 1 else ''}"

    @property
    def local_cpus(self) -> int:
        """Return how many CPUs a local Ray declares: the workers' and one for the rest."""
        return math.ceil(self.num_workers * self.cpu) + 1

    @property
    def collective_backend(self) -> str:
        """Return what `torch.distributed` exchanges by: NCCL refuses two workers on one GPU."""
        return "nccl" if self.gpu >= 1 else "gloo"


def num_cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def local_placement(train: TrainSettings, *, num_gpus: int, bounds: Bounds = _FREE) -> Placement:
    """Return the placement on a local Ray, which declares the CPUs that it is asked for.

    Args:
        train: the training settings.
        num_gpus: GPUs of this machine.
        bounds: what the workers reserve at most.

    Raises:
        ConfigError: more workers than a local Ray takes or the bounds allow, or GPUs that are not
            there.
    """
    gpu = _gpu_per_worker(train, num_gpus)
    _check_some_gpu(gpu, num_gpus, "this machine")
    capacity = _by_gpu(num_gpus, gpu) if gpu else max(1, whole_times(num_cores() / _cpu(train)))
    placement = _placement(train, gpu, min(capacity, MAX_LOCAL_WORKERS), bounds)
    if placement.least:
        # Nothing comes to a local Ray or leaves it, so what fits is settled here.
        count = min(placement.num_workers, capacity, MAX_LOCAL_WORKERS)
        placement = replace(placement, num_workers=max(count, placement.least), least=0)
    if placement.num_workers > MAX_LOCAL_WORKERS:
        raise _too_many(placement, f"on a local Ray, which takes {MAX_LOCAL_WORKERS}")
    if gpu and placement.num_workers > capacity:
        raise _too_many(placement, f"on this machine, whose {num_gpus} GPUs take {capacity}")
    return placement


def asked_placement(train: TrainSettings, bounds: Bounds = _FREE) -> Placement:
    """Return the placement on a cluster that nobody has looked at: what is asked for, at most."""
    asked = train.resources_per_worker.gpu
    return _placement(train, 0.0 if asked == "auto" else asked, train.logical_shards, bounds)


def cluster_placement(
    train: TrainSettings,
    nodes: Sequence[Mapping[str, float]],
    bounds: Bounds = _FREE,
    growth: Growth = FIXED,
) -> Placement:
    """Return the placement on a running cluster, where nothing else would run.

    Args:
        train: the training settings; `auto` speaks of the nodes that are there.
        nodes: total resources of each node.
        bounds: what the workers reserve at most.
        growth: the nodes that may still come.

    Raises:
        ConfigError: the cluster could never place these workers, even with nothing else running, or
            the bounds do not allow them.
    """
    num_gpus = sum(node.get("GPU", 0) for node in nodes)
    gpu = _gpu_per_worker(train, num_gpus)
    capacity = room_on(nodes, _cpu(train), gpu)
    placement = _placement(train, gpu, capacity, bounds)
    placement = replace(placement, num_hosts=_num_hosts(nodes))
    if placement.min_workers > capacity + growth.room(lambda node: _fits(node, _cpu(train), gpu)):
        _check_some_gpu(gpu, num_gpus, "the cluster")
        raise _too_many(placement, f"on the cluster, whose {len(nodes)} nodes take {capacity}")
    return placement


def search_placement(settings: Settings, place: Callable[[TrainSettings], Placement]) -> Placement:
    """Return how many trials run at a time, each a group of workers, and what each worker gets.

    As many whole groups as can be placed at the same time, so that none waits for room that another
    one holds: Ray places a group as a whole, and its workers are all alike.

    Args:
        settings: with a `tune` section.
        place: places the workers of a training section.

    Raises:
        ConfigError: not so many can be placed at the same time, or not even one.
    """
    tune = settings.tune
    assert tune is not None
    size, wanted = tune.workers_per_trial, tune.max_concurrent
    one = _placed_together(settings, place, 1)
    if wanted == "auto":
        room = place(_asking_for(settings.train, "auto")).num_workers
        placement = replace(one, num_workers=max(1, room // size) * size)
    else:
        placement = _placed_together(settings, place, wanted)
    placement = replace(placement, group_size=size)
    if tune.num_trials is None or not placement.is_bounded:
        return placement
    return replace(placement, num_workers=min(placement.num_groups, tune.num_trials) * size)


def _placed_together(
    settings: Settings, place: Callable[[TrainSettings], Placement], num_trials: int
) -> Placement:
    """Return the placement of so many trials' workers, all of them at the same time."""
    assert settings.tune is not None
    size = settings.tune.workers_per_trial
    try:
        return place(_asking_for(settings.train, num_trials * size))
    except ConfigError as error:
        if error.where != "train.num_workers":
            raise
        rest, each = error.message.partition(" workers")[2], f" of {size} workers"
        if num_trials > 1:
            raise ConfigError(
                f"{num_trials} trials{each if size > 1 else ''}{rest}",
                where="tune.max_concurrent",
                expected="trials that can be placed at the same time",
                mend="Use fewer, `max_concurrent: auto`, or less of train.resources_per_worker",
            ) from error
        words = "each do not fit" if size == 1 else "do not fit"
        raise ConfigError(
            f"a trial{each if size > 1 else ''}{rest.replace(words, 'does not fit', 1)}",
            where="tune.workers_per_trial" if size > 1 else "train.resources_per_worker",
            expected="the workers of one trial, placed at the same time",
            mend="Use fewer workers, less of train.resources_per_worker, or a larger cluster",
        ) from error


def _asking_for(train: TrainSettings, count: int | Literal["auto"]) -> TrainSettings:
    """Return a training section that asks for so many workers, and gives each of them a part."""
    return train.model_copy(update={"num_workers": count, "logical_shards": ANY_NUMBER})


def room(placement: Placement, nodes: Iterable[Mapping[str, float]]) -> int:
    """Return how many of the workers fit on nodes with these resources, as many as there may be."""
    return room_on(nodes, placement.cpu, placement.gpu)


def room_on(nodes: Iterable[Mapping[str, float]], cpu: float, gpu: float) -> int:
    """Return how many workers that take so much fit on nodes with these resources."""
    return sum(_fits(node, cpu, gpu) for node in nodes)


def _num_hosts(nodes: Iterable[Mapping[str, float]]) -> int:
    """Return how many hosts nodes are on: each has a resource that is named after its address."""
    names = {name for node in nodes for name in node if name.startswith(_OF_ADDRESS)}
    return max(1, len(names - {_OF_HEAD}))


def _cpu(train: TrainSettings) -> float:
    return train.resources_per_worker.cpu


def _gpu_per_worker(train: TrainSettings, num_gpus: float) -> float:
    asked = train.resources_per_worker.gpu
    if asked == "auto":
        return 1.0 if num_gpus >= 1 else 0.0
    return float(asked)


def _check_some_gpu(gpu: float, num_gpus: float, place: str) -> None:
    if gpu > num_gpus:
        raise ConfigError(
            f"{gpu:g} GPUs for each worker, but {place} has {num_gpus:g}",
            where="train.resources_per_worker.gpu",
            expected=f"at most {num_gpus:g}",
            mend="Leave it out (auto) to train on what there is",
        )


def _fits(node: Mapping[str, float], cpu: float, gpu: float) -> int:
    by_cpu = whole_times(node.get("CPU", 0) / cpu)
    return min(by_cpu, _by_gpu(node.get("GPU", 0), gpu)) if gpu else by_cpu


def _by_gpu(num_gpus: float, gpu: float) -> int:
    """Return how many workers the GPUs take: Ray gives a worker a part of one, or whole ones."""
    if gpu >= 1:
        return whole_times(num_gpus / gpu)
    whole = whole_times(num_gpus)
    return whole * whole_times(1 / gpu) + whole_times((num_gpus - whole) / gpu)


def _placement(train: TrainSettings, gpu: float, capacity: int, bounds: Bounds) -> Placement:
    """Return the workers that are asked for; `auto` and a maximum shrink to the bounds."""
    asked, cpu = train.num_workers, _cpu(train)
    bounds.check_one(cpu, gpu)
    most = bounds.num_workers(cpu, gpu)
    if isinstance(asked, ElasticWorkers):
        count, least = max(asked.min, min(asked.max, most)), asked.min
    else:
        count = max(1, min(capacity, train.logical_shards, most)) if asked == "auto" else asked
        least = 0
    placement = Placement(num_workers=count, cpu=cpu, gpu=gpu, least=least)
    if placement.min_workers > most:
        share = f"in the share of {bounds.text(cpu, gpu)}, which takes {most}"
        raise _too_many(placement, share, "raise that share")
    return placement


def _too_many(
    placement: Placement, place: str, other: str = "name a larger cluster"
) -> ConfigError:
    gpu = f" and {placement.gpu:g} GPU" if placement.gpu else ""
    return ConfigError(
        f"{placement.min_workers} workers with {placement.cpu:g} CPU{gpu} each do not fit {place}",
        where="train.num_workers",
        expected="workers that can be placed at the same time",
        mend=f"Use fewer workers or `num_workers: auto`, or {other}",
    )
