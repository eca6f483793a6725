"""A trial that has several workers: the process of its slot is rank zero, its crew are the others.

    Tune reserves a place for every worker in one placement group: all of them, or none
    the slot's process makes a peer in each of the other places, once, for all its trials
    for each attempt at a trial all of them meet in a process group of its own
    a peer that fails alone is missed within a second: rank zero tells the driver what it left
        behind, or what Ray says of it, and makes new peers in the places of the old ones

Peers belong to the slot's process: where that dies, Ray ends them. What becomes of the trial is
asked by rank zero alone, and reaches the others within the loop, at the same step.

Each trial as a run of Ray Train's, with a controller and fresh workers at every rung, would wait
seconds for them each time, and for room that no placement group of Tune's holds.
"""

import contextlib
import importlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, final

from distrain.background import in_background
from distrain.errors import DistrainError, TrainError
from distrain.train.beat import LOG_FOLDER, last_step, read_beats
from distrain.train.faults import FAILURE_FILE, cause_of, read_failures, remove_failures
from distrain.train.world import World
from distrain.tune.faults import OUT_OF_MEMORY, KernelKills, death_text, who
from distrain.tune.hangs import leave_last_word
from distrain.tune.host import hear_others
from distrain.tune.peers import (
    AGREED,
    LEFT_EXIT,
    Peer,
    node_of_process,
    process_group,
    store_of_attempt,
)
from distrain.tune.trials import error_of

START_S: Final = 300.0
"""How long peers may take to be placed and to begin; a node that was lost takes its place along."""
GRACE_S: Final = 10.0
"""How long the workers of an attempt that has ended on one of them may take to end, too."""


@final
class PeerError(Exception):
    """Another worker of the trial failed.

    Args:
        fields: what is told of it, as the event log holds an error.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields["message"])
        self.fields = dict(fields)


@contextlib.contextmanager
def training_world(common: Mapping[str, Any], work: Mapping[str, Any]) -> Iterator[World]:
    """Give this process's world for an attempt at a trial: alone, or as rank zero of its peers.

    Args:
        common: as in `trial.run_slot`.
        work: as there.

    Raises:
        PeerError: another worker failed, on which the block's own failure followed.
    """
    alone = World.single("cuda:0" if common["has_gpu"] else "cpu")
    if common["num_workers"] == 1:
        yield alone
        return
    if not _CREWS:
        _CREWS.append(_Crew(common))
    with _CREWS[0].attempt(work, alone) as world:
        yield world


def ranks_by_node(nodes: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return which process has each rank, with its local rank and node rank.

    Workers of one node get neighbouring ranks; process 0 is rank zero.

    Args:
        nodes: Ray's id of each process's node.
    """
    order = list(dict.fromkeys(nodes))
    on_node = [[p for p, node in enumerate(nodes) if node == one] for one in order]
    return [
        (process, local_rank, node_rank)
        for node_rank, processes in enumerate(on_node)
        for local_rank, process in enumerate(processes)
    ]


def failures_of(folder: Path, attempt: int) -> list[dict[str, Any]]:
    """Return what the peers of an attempt left behind, the earliest first.

    A peer of an earlier attempt, whose rank zero is gone, may still leave its own.

    Args:
        folder: the trial's.
        attempt: which one at it.
    """
    hear_others(folder, f"{LOG_FOLDER}/{FAILURE_FILE.partition('{')[0]}")
    return [one for one in read_failures(folder) if one["attempt"] == attempt]


@final
class _Crew:
    """The peers of this process, in the places that Tune reserved beside its own.

    Args:
        common: as in `trial.run_slot`.
    """

    def __init__(self, common: Mapping[str, Any]) -> None:
        self._common = common
        self._peers: list[Any] = []
        self._nodes: list[str] = []
        self._kills = KernelKills(node_of_process())

    @contextlib.contextmanager
    def attempt(self, work: Mapping[str, Any], alone: World) -> Iterator[World]:
        """Give rank zero's world of an attempt at a trial, in which the peers take part."""
        util: Any = importlib.import_module("ray.util")
        folder = Path(work["folder"])
        remove_failures(folder)
        self._begin(folder)
        worlds = self._worlds(alone)
        told = {**work, "host": util.get_node_ip_address()}
        store = store_of_attempt(told["host"], 0, worlds[0][1])
        calls = {
            world.world_rank: self._peers[process - 1].train.remote(told, asdict(world), store.port)
            for process, world in worlds
            if process
        }
        try:
            with (
                in_background(partial(self._miss, calls, work), "peers-watch"),
                process_group(store, worlds[0][1], self._common["backend"]),
            ):
                yield worlds[0][1]
        except AGREED:
            self._release(calls)
            raise
        except BaseException as error:  # goes through, or what it followed on does
            found = self._found(calls, work, GRACE_S) if _is_of_peer(error) else None
            self._dismiss()
            if found is not None:
                raise PeerError(found) from error
            raise
        self._release(calls)

    def _begin(self, folder: Path) -> None:
        """Make the peers, where there are none; without a place for them, end this process."""
        import ray
        from ray.util.placement_group import get_current_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if self._peers and self._are_there():
            return
        count, group = self._common["num_workers"], get_current_placement_group()
        assert group is not None  # Tune's, of this slot
        actor: Any = ray.remote(Peer)
        self._peers = [
            actor.options(
                num_cpus=self._common["cpu"],
                num_gpus=self._common["gpu"],
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    placement_group=group, placement_group_bundle_index=place
                ),
            ).remote(self._common)
            for place in range(1, count)
        ]
        try:
            asked = [peer.node.remote() for peer in self._peers]
            self._nodes = [node_of_process(), *ray.get(asked, timeout=START_S)]
        except ray.exceptions.RayError as error:  # its place may be gone: Tune makes another slot
            text = f"{count} workers were not all there after {START_S:.0f} s at most: {error}"
            self._give_up(folder, TrainError(text, where=f"trial {folder.name}", cause="cluster"))

    def _are_there(self) -> bool:
        """Return whether no peer has died since the last attempt; else there are none now."""
        import ray

        try:
            ray.get([peer.node.remote() for peer in self._peers], timeout=GRACE_S)
        except ray.exceptions.RayError:
            self._dismiss()
            return False
        return True

    def _worlds(self, alone: World) -> list[tuple[int, World]]:
        """Return each rank's process and world, by rank; process 0 is this one."""
        return [
            (
                process,
                replace(
                    alone,
                    world_size=len(self._nodes),
                    world_rank=rank,
                    local_rank=local_rank,
                    node_rank=node_rank,
                    collective_timeout_s=self._common["collective_timeout_s"],
                ),
            )
            for rank, (process, local_rank, node_rank) in enumerate(ranks_by_node(self._nodes))
        ]

    def _release(self, calls: Mapping[int, Any]) -> None:
        """Wait until the peers are free for the next trial; without those that are not."""
        import ray

        _, busy = ray.wait([*calls.values()], num_returns=len(calls), timeout=GRACE_S)
        if busy or self._deaths(calls):
            self._dismiss()

    def _dismiss(self) -> None:
        import ray

        for peer in self._peers:
            ray.kill(peer)
        self._peers = []

    def _deaths(self, calls: Mapping[int, Any]) -> dict[int, str]:
        """Return what Ray says of the peers that have died, by rank."""
        import ray

        ended, _ = ray.wait([*calls.values()], num_returns=len(calls), timeout=0)
        deaths: dict[int, str] = {}
        for rank, call in calls.items():
            if call in ended:
                try:
                    ray.get(call)
                except ray.exceptions.RayError as error:
                    deaths[rank] = str(error)
        return deaths

    def _found(
        self, calls: Mapping[int, Any], work: Mapping[str, Any], patience_s: float
    ) -> dict[str, str] | None:
        """Return what is told of the peer whose failure the others' followed on, if any is known.

        Args:
            calls: the peers' parts of the attempt, by rank.
            work: as in `trial.run_slot`.
            patience_s: how long the others may take to end.
        """
        import ray

        ray.wait([*calls.values()], num_returns=len(calls), timeout=patience_s)
        folder = Path(work["folder"])
        left = failures_of(folder, work["attempt"])
        told = {record["rank"] for record in left}
        deaths = {rank: said for rank, said in self._deaths(calls).items() if rank not in told}
        step, reserved = last_step(read_beats(folder)), self._common["reserved"]
        by_kernel = self._kills.killed(deaths, read_beats(folder, work["attempt"]))
        errors = [
            death_text(
                who(folder, rank, self._common),
                said,
                step,
                reserved,
                is_by_kernel=rank in by_kernel,
            )
            for rank, said in sorted(deaths.items())
        ]
        if errors:
            first = min(errors, key=lambda error: error.error_class != OUT_OF_MEMORY)
            return {**first.to_json(), "class": first.error_class, "cause": first.cause}
        records = [record for record in left if not record["is_of_peer"]]
        records.sort(key=lambda record: str(record["cause"]) != "user")
        names = ("kind", "message", "where", "expected", "mend", "class", "cause")
        return {name: records[0][name] for name in names} if records else None

    def _miss(
        self, calls: Mapping[int, Any], work: Mapping[str, Any], has_ended: threading.Event
    ) -> None:
        """End this process where a peer is gone and the loop does not come to notice it.

        As before all have met, or in an exchange on GPUs.
        """
        while not has_ended.wait(1.0):
            if self._deaths(calls) and not has_ended.wait(GRACE_S):
                error = error_of(self._found(calls, work, 0.0))
                self._give_up(
                    Path(work["folder"]), error or TrainError("a worker of the trial is gone")
                )

    def _give_up(self, folder: Path, error: DistrainError) -> NoReturn:
        leave_last_word(folder, error)
        os._exit(LEFT_EXIT)


_CREWS: Final[list[_Crew]] = []
"""This process's peers, of which it has one group at most; kept from slot to slot."""


def _is_of_peer(error: BaseException) -> bool:
    return isinstance(error, Exception) and cause_of(error) == "peer"
