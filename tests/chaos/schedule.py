"""A seeded schedule of faults, put into runs on a private cluster, and what came of it."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, final

from distrain.jobs.chaos.disk import small_disk
from distrain.jobs.chaos.faults import (
    fill_disk,
    kill_driver,
    kill_node,
    kill_worker,
    lose_tracking,
)
from distrain.jobs.chaos.undertaking import Injected, Undertaking
from tests.chaos import faults, links
from tests.chaos.cluster import ChaosCluster
from tests.chaos.faults import CORRUPTIONS
from tests.chaos.hosts import Hosts, hosts
from tests.chaos.undertaking import (
    Curves,
    curves,
    is_sorted_by_node,
    ledger_faults,
    undertake,
)
from tests.mlflow_server import MlflowServer

Fault = Callable[[Undertaking, Any, random.Random], object]
"""Does something to a run, and to the nodes or hosts that it runs on."""

ELASTIC = ("train.num_workers={min: 1, max: 3}",)
BETWEEN_HOSTS = ("train.num_workers={min: 1, max: 2}",)
FIXED = ("train.num_workers=2",)
STEPS_BETWEEN = (4, 18)
DISK_MIB = 96
FULL_STEPS = 12  # a checkpoint falls due meanwhile
AWAY_STEPS = 20


@final
@dataclass
class Figures:
    """What came of a schedule.

    Attributes:
        reference: weights of the run that nothing was done to.
        curves: its metrics in MLflow.
        hashes: weights of the others.
        injected: the faults.
        num_recorded: runs whose whole record has reached MLflow, each metric as in the reference's.
        rows_repeated: rows that a ledger has more than once in an epoch.
        rows_missing: rows that one has not.
    """

    reference: str = ""
    curves: Curves = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    injected: list[Injected] = field(default_factory=list)
    num_recorded: int = 0
    rows_repeated: int = 0
    rows_missing: int = 0

    @property
    def num_same(self) -> int:
        """Return how many runs ended with the reference's weights."""
        return sum(found == self.reference for found in self.hashes)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return {
            "faults_injected": len(self.injected),
            "runs": len(self.hashes),
            "runs_with_the_same_hash": self.num_same,
            "runs_recorded_whole": self.num_recorded,
            "rows_repeated": self.rows_repeated,
            "rows_missing": self.rows_missing,
            "faults": [asdict(fault) for fault in self.injected],
        }

    def table(self) -> str:
        """Return the figures as a table, a line for each kind of fault."""
        lines = [f"{'fault':36} {'times':>5} {'s to recover':>16} {'steps lost':>11}"]
        for name in dict.fromkeys(fault.name for fault in self.injected):
            own = [fault for fault in self.injected if fault.name == name]
            seconds = [fault.recovery_s for fault in own]
            lost = max(fault.steps_lost for fault in own)
            spread = f"{median(seconds):.1f} (max {max(seconds):.1f})"
            lines.append(f"{name:36} {len(own):5} {spread:>16} {lost:>11}")
        lines.append(
            f"{len(self.injected)} faults, {self.num_same} of {len(self.hashes)} runs with the "
            f"same weights, {self.rows_repeated} rows repeated, {self.rows_missing} missing"
        )
        return "\n".join(lines)


@final
@dataclass(frozen=True)
class Act:
    """A run and what is done to it.

    Attributes:
        settings: overrides.
        faults: one after another.
        part_s: seconds that a part of a step takes at least.
        is_small_disk: whether its storage is a disk of its own, of `DISK_MIB`.
        has_server: whether it is recorded at a tracking server of its own.
        num_hosts: hosts of its own that it runs on; 0: it runs on the nodes of all acts.
    """

    settings: Sequence[str]
    faults: Sequence[Fault]
    part_s: float = 0.01
    is_small_disk: bool = False
    has_server: bool = False
    num_hosts: int = 0


def smoke_schedule(chance: random.Random) -> list[Act]:
    """Return a fault or two of each kind that needs no root, within minutes."""
    damages = [CORRUPTIONS[name] for name in chance.sample(sorted(CORRUPTIONS), 2)]
    return [
        Act(
            FIXED,
            [lose_tracking(AWAY_STEPS), kill_worker, *damages, kill_driver],
            part_s=0.03,
            has_server=True,
        ),
        Act(ELASTIC, [kill_node, faults.add_node, faults.drain_node], part_s=0.04),
    ]


def disk_act(times: int) -> Act:
    """Return a run whose disk is full so many times; root alone can mount its disk."""
    return Act(FIXED, [fill_disk(FULL_STEPS)] * times, is_small_disk=True)


def hosts_act() -> Act:
    """Return a run between two hosts whose link is cut and healed; root alone can make them."""
    return Act(BETWEEN_HOSTS, [links.blink, links.cut, links.heal], part_s=0.04, num_hosts=2)


def short_schedule(chance: random.Random) -> list[Act]:
    """Return at least twelve faults of all kinds that need no root."""
    fixed = [
        kill_worker,
        faults.replace_node,
        faults.stop_worker,
        faults.terminate,
    ]
    broken = [*CORRUPTIONS.values(), lose_tracking(AWAY_STEPS), kill_driver]
    chance.shuffle(fixed)
    elastic = [kill_node, faults.add_node, faults.drain_node]
    return [
        Act(FIXED, fixed),
        # Slow, so that there are steps left for the fault after the server is away.
        Act(FIXED, broken, part_s=0.03, has_server=True),
        Act(ELASTIC, elastic, part_s=0.04),
    ]


def long_schedule(chance: random.Random, rounds: int) -> list[Act]:
    """Return the short schedule so many times in other orders, a full disk and a cut link."""
    acts = [act for _ in range(rounds) for act in short_schedule(chance)]
    return [*acts, disk_act(2), hosts_act()]


def carry_out(
    acts: Sequence[Act], folder: Path, chance: random.Random, settings: Sequence[str] = ()
) -> Figures:
    """Do it all, one run after another, with further settings, and return the figures."""
    figures = Figures()
    with chaos_cluster() as cluster:
        straight = undertake(folder / "straight", cluster.address, [*FIXED, *settings], part_s=0)
        figures.reference = straight.end()["weights_sha256"]
        figures.curves = curves(folder / "straight")
        for number, act in enumerate(acts):
            while len(cluster.nodes()) < 2:
                cluster.add_node()
            own = folder / f"run-{number}"
            with (
                small_disk(own / "runs", DISK_MIB) if act.is_small_disk else nullcontext(),
                _server(own / "server", is_wanted=act.has_server) as server,
                hosts(act.num_hosts) if act.num_hosts else nullcontext(cluster) as nodes,
            ):
                run = undertake(
                    *(own, nodes.address, [*act.settings, *settings]),
                    part_s=act.part_s,
                    tracking=server,
                    prefix=nodes.words_on(0) if isinstance(nodes, Hosts) else (),
                )
                result = _carry_out(act, run, nodes, chance, figures)
                _add_figures(figures, run, result, curves(own))
    return figures


@contextlib.contextmanager
def chaos_cluster() -> Iterator[ChaosCluster]:
    """Give a head and two nodes with a CPU each."""
    cluster = ChaosCluster(1, 1, 1)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def _carry_out(
    act: Act, run: Undertaking, nodes: Any, chance: random.Random, figures: Figures
) -> dict[str, Any]:
    try:
        for fault in act.faults:
            done = run.injected[-1].step if run.injected else 10
            run.wait_for_step(done + chance.randint(*STEPS_BETWEEN))
            fault(run, nodes, chance)
            print(asdict(run.injected[-1]), flush=True)
            assert is_sorted_by_node(run.beats()), "the ranks of a node follow one another"
        return run.end()
    finally:
        figures.injected += run.injected
        run.abandon()


def _add_figures(
    figures: Figures, run: Undertaking, result: dict[str, Any], recorded: Curves
) -> None:
    is_recorded = result["tracking"] == "complete" and recorded == figures.curves
    figures.num_recorded += is_recorded
    figures.hashes.append(str(result["weights_sha256"] or result["error"]))
    repeated, missing = ledger_faults(run.made)
    figures.rows_repeated += repeated
    figures.rows_missing += missing


@contextlib.contextmanager
def _server(folder: Path, *, is_wanted: bool) -> Iterator[MlflowServer | None]:
    if not is_wanted:
        yield None
        return
    folder.mkdir(parents=True)
    server = MlflowServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
