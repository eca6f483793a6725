"""What is done to a run, each by a function of the run, its nodes and a random generator."""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from distrain.errors import TrainError
from distrain.jobs.chaos.nodes import Nodes
from distrain.jobs.chaos.undertaking import Beats, Undertaking, step_of
from distrain.train.checkpoint import FOLDER, MANIFEST

LEFT_BYTES: Final = 128 << 10
SLOW_S: Final = 5.0

Fault = Callable[[Undertaking, Nodes, random.Random], object]


def kill_worker(run: Undertaking, _nodes: Nodes, chance: random.Random) -> None:
    """SIGKILL a worker."""

    def fault(beats: Beats) -> None:
        os.kill(any_process(beats, chance), signal.SIGKILL)

    run.inject("SIGKILL worker", fault)


def kill_node(run: Undertaking, nodes: Nodes, chance: random.Random) -> None:
    """SIGKILL the raylet of a worker's node; another node comes afterwards."""
    run.inject(
        "SIGKILL raylet", lambda beats: nodes.kill_node(node_beside_head(beats, nodes, chance))
    )


def kill_driver(run: Undertaking, _nodes: Nodes, _chance: random.Random) -> None:
    """SIGKILL the driver; then resume."""

    def fault(_beats: Beats) -> None:
        run.signal(signal.SIGKILL)
        run.resume()

    run.inject("SIGKILL driver, resume", fault)


def lose_tracking(num_steps: int) -> Fault:
    """Return what ends the tracking server, and launches it again so many steps later."""

    def fault(run: Undertaking, _nodes: Nodes, _chance: random.Random) -> None:
        tracking = run.tracking
        if tracking is None:
            raise TrainError("it is recorded at no server of its own", where="the run")
        run.endure("tracking server away", lambda _beats: tracking.stop())
        run.wait_for_step(run.injected[-1].step + num_steps)
        tracking.launch()

    return fault


def slow_worker(run: Undertaking, _nodes: Nodes, chance: random.Random) -> None:
    """SIGSTOP a worker for some seconds, as one on a node that is too busy for it."""

    def fault(beats: Beats) -> None:
        process = any_process(beats, chance)
        os.kill(process, signal.SIGSTOP)
        time.sleep(SLOW_S)
        os.kill(process, signal.SIGCONT)

    run.endure(f"worker stands still {SLOW_S:.0f} s", fault)


def fill_disk(num_steps: int) -> Fault:
    """Return what fills the disk for so many steps, SIGKILLs a worker, and makes room again."""

    def fault(run: Undertaking, _nodes: Nodes, chance: random.Random) -> None:
        filler = run.made.parent / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            # A checkpoint that is being written takes room too: it is the first to be told.
            while (spare := shutil.disk_usage(run.made).free - LEFT_BYTES) > 0:
                file.write(bytes(min(spare, 1 << 20)))
        # What the journal needs is left.
        os.truncate(filler, max(0, filler.stat().st_size - LEFT_BYTES))
        run.wait_for_step(step_of(run.wait_for_step(0)) + num_steps)

        def kill(beats: Beats) -> None:
            os.kill(any_process(beats, chance), signal.SIGKILL)

        run.inject("disk full, SIGKILL worker", kill)
        filler.unlink()

    return fault


def truncate(path: Path) -> None:
    """Take off the second half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        [byte] = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def damage(name: str, act: Callable[[Path], object]) -> Fault:
    """Return what damages the newest checkpoint, and then SIGKILLs a worker.

    Args:
        name: what is done to it.
        act: does it to the checkpoint's folder.
    """

    def fault(run: Undertaking, _nodes: Nodes, chance: random.Random) -> None:
        def damage_and_kill(beats: Beats) -> None:
            process = any_process(beats, chance)
            # Stopped first, so that no good checkpoint comes after the damaged one.
            for beat in beats.values():
                os.kill(beat.process, signal.SIGSTOP)
            act(newest_checkpoint(run))
            os.kill(process, signal.SIGKILL)
            for beat in beats.values():
                if beat.process != process:
                    os.kill(beat.process, signal.SIGCONT)

        run.inject(f"checkpoint: {name}", damage_and_kill)

    return fault


TORN: Final = (
    damage("tensors truncated", lambda step: truncate(tensors_of(step))),
    damage("bit flipped in tensors", lambda step: flip(tensors_of(step))),
)


def any_process(beats: Beats, chance: random.Random) -> int:
    """Return the process of one of the workers."""
    return beats[chance.choice(sorted(beats))].process


def node_beside_head(beats: Beats, nodes: Nodes, chance: random.Random) -> str:
    """Return a node with workers that is not the head's."""
    return chance.choice(sorted({beat.node for beat in beats.values()} & set(nodes.nodes())))


def newest_checkpoint(run: Undertaking) -> Path:
    """Return the folder of a run's newest whole checkpoint."""
    manifests = (run.made / FOLDER).glob(f"step-*/{MANIFEST}")
    return max((path.parent for path in manifests), key=lambda p: int(p.name.split("-")[1]))


def tensors_of(step: Path) -> Path:
    """Return the largest file of a checkpoint."""
    return max(step.glob("*"), key=lambda path: path.stat().st_size)


def faults_of(interval: int) -> MappingProxyType[str, Sequence[Fault]]:
    """Return what the command line may name, and what is done one after another under that name.

    Args:
        interval: steps between two checkpoints.
    """
    return MappingProxyType(
        {
            "worker": (kill_worker,),
            "node": (kill_node,),
            "driver": (kill_driver,),
            "tracking": (lose_tracking(2 * interval),),
            "disk": (fill_disk(interval + 2),),
            "checkpoint": TORN,
            "slow": (slow_worker,),
        }
    )


NAMES: Final = tuple(faults_of(1))
