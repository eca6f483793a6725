"""What is done to a run in tests alone; the faults of `distrain chaos` are the product's own."""

import os
import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from distrain.jobs.chaos.faults import (
    any_process,
    damage,
    flip,
    node_beside_head,
    tensors_of,
    truncate,
)
from distrain.jobs.chaos.undertaking import Beats, Undertaking
from tests.chaos.cluster import ChaosCluster

Fault = Callable[[Undertaking, ChaosCluster, random.Random], object]


def replace_node(run: Undertaking, cluster: ChaosCluster, chance: random.Random) -> None:
    """SIGKILL the raylet of a worker's node, and add another at the same time."""

    def fault(beats: Beats) -> None:
        cluster.kill_node(node_beside_head(beats, cluster, chance))
        cluster.add_node()

    run.inject("SIGKILL raylet, node replaced", fault)


def add_node(run: Undertaking, cluster: ChaosCluster, _chance: random.Random) -> None:
    """Add a node, which an elastic run takes in."""
    run.inject("node added", lambda _beats: cluster.add_node())


def drain_node(run: Undertaking, cluster: ChaosCluster, chance: random.Random) -> None:
    """Announce that a worker's node will leave, and let it go."""
    leaving: list[str] = []

    def fault(beats: Beats) -> None:
        leaving.append(node_beside_head(beats, cluster, chance))
        cluster.drain_node(leaving[0], 60)

    run.inject("node drained", fault)
    cluster.kill_node(leaving[0])


def stop_worker(run: Undertaking, _cluster: ChaosCluster, chance: random.Random) -> None:
    """SIGSTOP a worker: it hangs, and must be gone afterwards."""
    stopped: list[int] = []

    def fault(beats: Beats) -> None:
        stopped.append(any_process(beats, chance))
        os.kill(stopped[0], signal.SIGSTOP)

    run.inject("SIGSTOP worker", fault)
    assert not Path(f"/proc/{stopped[0]}").exists(), "the stopped worker is still there"


def terminate(run: Undertaking, _cluster: ChaosCluster, _chance: random.Random) -> None:
    """SIGTERM to the driver, which saves the state; then resume."""

    def fault(_beats: Beats) -> None:
        assert run.signal(signal.SIGTERM) == 130, run.told()
        run.resume()

    lost = run.inject("SIGTERM, resume", fault).steps_lost
    assert lost == 0, "a run that was asked to stop saves its state"


def overwrite(path: Path) -> None:
    """Put something else in a file's place."""
    path.write_bytes(b"[1, 2]")


_DAMAGES: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {
        "tensors truncated": lambda step: truncate(tensors_of(step)),
        "bit flipped in tensors": lambda step: flip(tensors_of(step)),
        "tensors deleted": lambda step: tensors_of(step).unlink(),
        "manifest overwritten": lambda step: overwrite(step / "manifest.json"),
        "manifest truncated": lambda step: truncate(step / "manifest.json"),
    }
)
CORRUPTIONS: Mapping[str, Fault] = MappingProxyType(
    {name: damage(name, act) for name, act in _DAMAGES.items()}
)
