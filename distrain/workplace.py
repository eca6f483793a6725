"""Where a command works: which Ray it uses, and which workers that Ray can place.

In: the settings of `cluster` and `train`. Out: a connected Ray for the length of a `with` block,
and for training the placement of its workers, for the first of which room is held, where others use
that Ray, too. Work on data alone asks for no workers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from distrain.config.settings import Settings
from distrain.display import Display
from distrain.errors import ConfigError
from distrain.ray_session import is_connected, ray_session, wanted_address
from distrain.train.bounds import Bounds
from distrain.train.growth import Growth
from distrain.train.line import Line, telling_cluster_faults
from distrain.train.nodes import growth, staying_nodes
from distrain.train.placement import (
    Placement,
    asked_placement,
    cluster_placement,
    local_placement,
    num_cores,
    search_placement,
)


@final
@dataclass(frozen=True)
class Places:
    """Where a search works.

    Attributes:
        trials: trials at a time, and what each gets.
        winner: workers of the run that the winner becomes.
    """

    trials: Placement
    winner: Placement


@final
@dataclass(frozen=True)
class Place:
    """Where workers are placed: on a local Ray at once, on a cluster as soon as there is room.

    Args:
        planned: gives the placement on the Ray that is connected, as that is now.
        line: where room is waited for; None: on a local Ray, which has it.
        is_auto: whether there are as many workers as the line found room for.
    """

    planned: Callable[[], Placement]
    line: Line | None = None
    is_auto: bool = False

    def settle(self) -> Placement:
        """Wait for room, unless it is held, and return the placement.

        Raises:
            ClusterError: there was none in time.
        """
        if self.line is None:
            return self.planned()
        count = self.line.take()
        with telling_cluster_faults():
            placement = self.planned()
        return replace(placement, num_workers=count, least=0) if self.is_auto else placement


@contextmanager
def training_session(settings: Settings, display: Display) -> Iterator[Place]:
    """Connect to Ray, or start a local one that has room for the workers; wait for room.

    Raises:
        ClusterError: there is no Ray at the address, or no room there in time.
        ConfigError: the workers can never be placed there.
    """
    address = wanted_address(settings.cluster.address)
    display.stage(_session_text(address))
    planned = planned_placement(settings)
    with ray_session(address, num_cpus=planned.local_cpus) as session:
        # Where a caller from Python is connected already, that Ray is used whatever it has.
        if session.is_local:
            yield Place(lambda: planned)
            return
        is_auto = settings.train.num_workers == "auto"
        with _in_line(settings, _first_workers, display) as (line, wanted, _):
            yield Place(lambda: wanted, line, is_auto)


@contextmanager
def search_session(settings: Settings, display: Display) -> Iterator[tuple[Place, Placement]]:
    """Connect to Ray, or start a local one that has room for trials, and for the winner's workers.

    Gives the place of the trials, for the first of which there is room, and the winner's placement.

    Raises:
        ClusterError: there is no Ray at the address, or no room there in time.
        ConfigError: a trial can never be placed there, or not so many at a time.
    """
    address = wanted_address(settings.cluster.address)
    display.stage(_session_text(address))
    planned = planned_places(settings)
    num_cpus = max(planned.trials.local_cpus, planned.winner.local_cpus)
    with ray_session(address, num_cpus=num_cpus) as session:
        if session.is_local:
            yield Place(lambda: planned.trials), planned.winner
            return
        with _in_line(settings, _first_trial, display) as (line, first, grows):
            settings = _with_gpu(settings, first.gpu)
            winner = _on_cluster(settings, grows)
            if settings.train.num_workers == "auto":  # by then others may have what is free now
                winner = replace(winner, least=1)
            yield Place(lambda: _trials_on_cluster(settings, grows), line), winner


def _with_gpu(settings: Settings, gpu: float) -> Settings:
    """Return the settings with so many GPUs for each worker, which nodes to come change no more."""
    each = settings.train.resources_per_worker.model_copy(update={"gpu": gpu})
    train = settings.train.model_copy(update={"resources_per_worker": each})
    return settings.model_copy(update={"train": train})


@contextmanager
def _in_line(
    settings: Settings, first: Callable[[Settings, Growth], Placement], display: Display
) -> Iterator[tuple[Line, Placement, Growth]]:
    """Wait for room on the cluster that is connected, and hold it for the length of a `with` block.

    Gives also for whom, the workers that are placed at once, and what may come to the cluster.
    """
    with telling_cluster_faults():
        grows = growth()
        wanted = first(settings, grows)
    line = Line(wanted, settings.cluster.wait_s, display, is_growing=grows.has_autoscaler)
    line.take()
    try:
        yield line, wanted, grows
    finally:
        line.release()


def _first_workers(settings: Settings, grows: Growth) -> Placement:
    """Return a run's workers, of which there is one at least where there are as many as fit."""
    wanted = _on_cluster(settings, grows)
    if settings.train.num_workers != "auto":
        return wanted
    if grows.has_autoscaler:
        share = Bounds.of(settings.cluster).num_workers(wanted.cpu, wanted.gpu)
        wanted = replace(wanted, num_workers=min(settings.train.logical_shards, share))
    return replace(wanted, least=1)


def _first_trial(settings: Settings, grows: Growth) -> Placement:
    """Return the workers of one trial, where all trials and the winner can be placed some time."""
    _on_cluster(settings, grows)
    trials = _trials_on_cluster(settings, grows)
    _check_budget(settings, trials)
    return replace(trials, num_workers=trials.group_size, group_size=1)


def _trials_on_cluster(settings: Settings, grows: Growth) -> Placement:
    return search_placement(
        settings,
        lambda train: _on_cluster(settings.model_copy(update={"train": train}), grows),
    )


def _on_cluster(settings: Settings, grows: Growth) -> Placement:
    """Return the placement on the cluster that is connected, on the nodes that stay."""
    nodes = [node.total for node in staying_nodes()]
    return cluster_placement(settings.train, nodes, Bounds.of(settings.cluster), grows)


def planned_places(settings: Settings) -> Places:
    """Return the places of a search, as far as they can be told before Ray is there.

    Raises:
        ConfigError: they can never be on this machine.
    """
    winner, bounds = planned_placement(settings), Bounds.of(settings.cluster)
    if not is_on_local_ray(settings):
        trials = search_placement(settings, lambda train: asked_placement(train, bounds))
        return Places(trials, winner)
    num_gpus = _num_local_gpus()
    trials = search_placement(
        settings, lambda train: local_placement(train, num_gpus=num_gpus, bounds=bounds)
    )
    _check_budget(settings, trials)
    return Places(trials, winner)


def _check_budget(settings: Settings, trials: Placement) -> None:
    """Refuse a budget of GPU-hours that nothing would be spent of."""
    assert settings.tune is not None
    if settings.tune.budget.gpu_hours is not None and not trials.gpu:
        raise ConfigError(
            f"{settings.tune.budget.gpu_hours:g} GPU-hours would never be spent: trials have none",
            where="tune.budget.gpu_hours",
            expected="GPUs for the trials",
            mend="Use tune.budget.wall_s or epochs, or a machine with GPUs",
        )


@contextmanager
def data_session(configured: str | None, display: Display) -> Iterator[None]:
    """Connect to Ray, or start a local one with this machine's cores, for work on data alone.

    Args:
        configured: a cluster's address; None: RAY_ADDRESS, else a new local Ray.
        display: what is told meanwhile.

    Raises:
        ClusterError: there is no Ray at the address.
    """
    address = wanted_address(configured)
    display.stage(_session_text(address))
    with ray_session(address, num_cpus=num_cores() + 1):
        yield


def planned_placement(settings: Settings) -> Placement:
    """Return the placement, as far as it can be told before Ray is there.

    Raises:
        ConfigError: the workers can never be placed on this machine.
    """
    bounds = Bounds.of(settings.cluster)
    if is_on_local_ray(settings):
        return local_placement(settings.train, num_gpus=_num_local_gpus(), bounds=bounds)
    return asked_placement(settings.train, bounds)


def is_on_local_ray(settings: Settings) -> bool:
    """Return whether workers would run on a Ray that is started for them on this machine."""
    return wanted_address(settings.cluster.address) == "local" and not is_connected()


def place_text(settings: Settings) -> str:
    """Return in words where workers would run."""
    if is_connected():
        return "the Ray that this process is connected to"
    address = wanted_address(settings.cluster.address)
    return "a local Ray" if address == "local" else f"Ray at {address}"


def _session_text(address: str) -> str:
    if is_connected():
        return "using the Ray that this process is connected to"
    return "starting a local Ray" if address == "local" else f"connecting to Ray at {address}"


def _num_local_gpus() -> int:
    """Return the GPUs of this machine; torch is asked only where a driver is installed."""
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        return 0
    import torch

    return torch.cuda.device_count()
