"""What is done to a run, each by a function of the run, its cluster and a random generator."""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from distrain.train.beat import BeatRecord
from tests.chaos.cluster import ChaosCluster
from tests.chaos.undertaking import Injected, Undertaking

LEFT_BYTES = 128 << 10

Fault = Callable[[Undertaking, ChaosCluster, random.Random], object]


def kill_worker(run: Undertaking, _cluster: ChaosCluster, chance: random.Random) -> None:
    """SIGKILL a worker."""

    def fault(beats: dict[int, BeatRecord]) -> None:
        os.kill(beats[chance.choice(sorted(beats))].process, signal.SIGKILL)

    run.inject("SIGKILL worker", fault)


def kill_node(run: Undertaking, cluster: ChaosCluster, chance: random.Random) -> None:
    """SIGKILL the raylet of a worker's node; another node comes afterwards."""
    run.inject("SIGKILL raylet", lambda beats: cluster.kill_node(_own(beats, cluster, chance)))


def replace_node(run: Undertaking, cluster: ChaosCluster, chance: random.Random) -> None:
    """SIGKILL the raylet of a worker's node, and add another at the same time."""

    def fault(beats: dict[int, BeatRecord]) -> None:
        cluster.kill_node(_own(beats, cluster, chance))
        cluster.add_node()

    run.inject("SIGKILL raylet, node replaced", fault)


def add_node(run: Undertaking, cluster: ChaosCluster, _chance: random.Random) -> None:
    """Add a node, which an elastic run takes in."""
    run.inject("node added", lambda _beats: cluster.add_node())


def drain_node(run: Undertaking, cluster: ChaosCluster, chance: random.Random) -> None:
    """Announce that a worker's node will leave, and let it go."""
    leaving: list[str] = []

    def fault(beats: dict[int, BeatRecord]) -> None:
        leaving.append(_own(beats, cluster, chance))
        cluster.drain_node(leaving[0], 60)

    run.inject("node drained", fault)
    cluster.kill_node(leaving[0])


def stop_worker(run: Undertaking, _cluster: ChaosCluster, chance: random.Random) -> None:
    """SIGSTOP a worker: it hangs, and must be gone afterwards."""
    stopped: list[int] = []

    def fault(beats: dict[int, BeatRecord]) -> None:
        stopped.append(beats[chance.choice(sorted(beats))].process)
        os.kill(stopped[0], signal.SIGSTOP)

    run.inject("SIGSTOP worker", fault)
    assert not Path(f"/proc/{stopped[0]}").exists(), "the stopped worker is still there"


def terminate(run: Undertaking, _cluster: ChaosCluster, _chance: random.Random) -> None:
    """SIGTERM to the driver, which saves the state; then resume."""

    def fault(_beats: dict[int, BeatRecord]) -> None:
        assert run.signal(signal.SIGTERM) == 130, run.told()
        run.resume()

    lost = run.inject("SIGTERM, resume", fault).steps_lost
    assert lost == 0, "a run that was asked to stop saves its state"


def kill_driver(run: Undertaking, _cluster: ChaosCluster, _chance: random.Random) -> None:
    """SIGKILL the driver; then resume."""

    def fault(_beats: dict[int, BeatRecord]) -> None:
        run.signal(signal.SIGKILL)
        run.resume()

    run.inject("SIGKILL driver, resume", fault)


def truncate(path: Path) -> None:
    """Take off the second half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def overwrite(path: Path) -> None:
    """Put something else in a file's place."""
    path.write_bytes(b"[1, 2]")


_DAMAGES: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {
        "tensors truncated": lambda step: truncate(_tensors(step)),
        "bit flipped in tensors": lambda step: flip(_tensors(step)),
        "tensors deleted": lambda step: _tensors(step).unlink(),
        "manifest overwritten": lambda step: overwrite(step / "manifest.json"),
        "manifest truncated": lambda step: truncate(step / "manifest.json"),
    }
)


def _damage(name: str) -> Fault:
    def fault(run: Undertaking, _cluster: ChaosCluster, chance: random.Random) -> None:
        def damage_and_kill(beats: dict[int, BeatRecord]) -> None:
            process = beats[chance.choice(sorted(beats))].process
            # Stopped first, so that no good checkpoint comes after the damaged one.
            for beat in beats.values():
                os.kill(beat.process, signal.SIGSTOP)
            _DAMAGES[name](_newest_checkpoint(run))
            os.kill(process, signal.SIGKILL)
            for beat in beats.values():
                if beat.process != process:
                    os.kill(beat.process, signal.SIGCONT)

        run.inject(f"checkpoint: {name}", damage_and_kill)

    return fault


def fill_disk(run: Undertaking, _cluster: ChaosCluster, chance: random.Random) -> None:
    """Fill the disk but for what the journal needs; SIGKILL a worker, make room again."""
    assert run.run_dir is not None
    filler = run.run_dir.parent / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        # A checkpoint that is being written takes room too: this one is the first to be told.
        while (spare := shutil.disk_usage(run.run_dir).free - LEFT_BYTES) > 0:
            file.write(bytes(min(spare, 1 << 20)))
    os.truncate(filler, max(0, filler.stat().st_size - LEFT_BYTES))
    step = max(beat.step for beat in run.wait_for_step(0).values())
    run.wait_for_step(step + 12)  # a checkpoint falls due meanwhile

    def fault(beats: dict[int, BeatRecord]) -> None:
        os.kill(beats[chance.choice(sorted(beats))].process, signal.SIGKILL)

    run.inject("disk full, SIGKILL worker", fault)
    filler.unlink()


def lose_tracking(run: Undertaking, _cluster: ChaosCluster, _chance: random.Random) -> None:
    """SIGKILL the tracking server, and launch it again twenty steps later."""
    assert run.tracking is not None
    before, started = run.wait_for_step(0), time.monotonic()
    step = max(beat.step for beat in before.values())
    run.tracking.stop()
    run.wait_for_step(step + 1)
    recovery_s = round(time.monotonic() - started, 1)
    count = len(run.wait_for_step(step + 20))
    run.tracking.launch()
    run.injected.append(Injected("tracking server away", step, recovery_s, 0, (count, count)))


CORRUPTIONS: Mapping[str, Fault] = MappingProxyType({name: _damage(name) for name in _DAMAGES})


def _own(beats: Mapping[int, BeatRecord], cluster: ChaosCluster, chance: random.Random) -> str:
    """Return a node with workers that is not the head's."""
    return chance.choice(sorted({beat.node for beat in beats.values()} & set(cluster.nodes())))


def _newest_checkpoint(run: Undertaking) -> Path:
    assert run.run_dir is not None
    manifests = (run.run_dir / "checkpoints").glob("step-*/manifest.json")
    return max((path.parent for path in manifests), key=lambda p: int(p.name.split("-")[1]))


def _tensors(step: Path) -> Path:
    return max(step.glob("*"), key=lambda path: path.stat().st_size)
