"""Where a command works: which Ray it uses, and which workers that Ray can place.

In: the settings of `cluster` and `train`. Out: a connected Ray for the length of a `with` block,
and for training the placement of its workers. Work on data alone asks for no workers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from distrain.config.settings import Settings
from distrain.display import Display
from distrain.errors import ConfigError
from distrain.ray_session import is_connected, ray_session, wanted_address
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


@contextmanager
def training_session(settings: Settings, display: Display) -> Iterator[Placement]:
    """Connect to Ray, or start a local one that has room for the workers; give their placement.

    Raises:
        ClusterError: there is no Ray at the address.
        ConfigError: the workers can never be placed there.
    """
    address = wanted_address(settings.cluster.address)
    display.stage(_session_text(address))
    placement = planned_placement(settings)
    with ray_session(address, num_cpus=placement.local_cpus) as session:
        # Where a caller from Python is connected already, that Ray is used whatever it has.
        yield placement if session.is_local else cluster_placement(settings.train, session.nodes)


@contextmanager
def search_session(settings: Settings, display: Display) -> Iterator[Places]:
    """Connect to Ray, or start a local one that has room for trials, and for the winner's workers.

    Raises:
        ClusterError: there is no Ray at the address.
        ConfigError: a trial can never be placed there, or not so many at a time.
    """
    address = wanted_address(settings.cluster.address)
    display.stage(_session_text(address))
    planned = planned_places(settings)
    num_cpus = max(planned.trials.local_cpus, planned.winner.local_cpus)
    with ray_session(address, num_cpus=num_cpus) as session:
        if session.is_local:
            yield planned
            return
        trials = search_placement(settings, lambda train: cluster_placement(train, session.nodes))
        _check_budget(settings, trials)
        yield Places(trials, cluster_placement(settings.train, session.nodes))


def planned_places(settings: Settings) -> Places:
    """Return the places of a search, as far as they can be told before Ray is there.

    Raises:
        ConfigError: they can never be on this machine.
    """
    winner = planned_placement(settings)
    if not is_on_local_ray(settings):
        return Places(search_placement(settings, asked_placement), winner)
    num_gpus = _num_local_gpus()
    trials = search_placement(settings, lambda train: local_placement(train, num_gpus=num_gpus))
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
    if is_on_local_ray(settings):
        return local_placement(settings.train, num_gpus=_num_local_gpus())
    return asked_placement(settings.train)


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
