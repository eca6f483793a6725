"""The nodes of a connected Ray, asked by an actor on each; the actors are gone afterwards.

An actor reserves nothing, so that a busy cluster can be asked too; only where GPUs are measured,
those that are free are taken for that time. A node that does not answer in time is told of, and
holds up nobody.
"""

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

from distrain.config.environment import of_account
from distrain.errors import first_line
from distrain.jobs.doctor import gpu_speed, node_probe
from distrain.jobs.doctor.facts import (
    HERE,
    ClusterNode,
    NodeFacts,
    Sight,
    Speed,
    plain_reason,
)
from distrain.train.nodes import dead_nodes, live_nodes

LIMIT_S: Final = 90.0
"""How long all nodes together may take for one question: an actor takes seconds to start."""
SPEED_LIMIT_S: Final = 150.0
CLOCK_LIMIT_S: Final = 10.0
NUM_LOOKS: Final = 3
"""How often a clock is looked at: the answer that came fastest tells most."""

_SILENT: Final = "TimeoutError: no answer in time"


def cluster_nodes() -> list[ClusterNode]:
    """Return all nodes that Ray's control store knows of, the dead ones too."""
    ray: Any = importlib.import_module("ray")
    names = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
    living = [
        ClusterNode(
            id=node.id,
            host=f"{names.get(node.id, '?')} ({node.address})",
            answers=node.answers(),
            total=node.total,
            free=node.free,
        )
        for node in live_nodes()
    ]
    dead = [
        ClusterNode(
            id=node.id,
            host=f"{node.name} ({node.address})",
            is_alive=False,
            answers=False,
            why_dead=first_line(ValueError(node.why)) if node.why else "",
            is_replaced=node.is_replaced,
        )
        for node in dead_nodes()
    ]
    return living + dead


@final
class Questions:
    """What can be asked of the nodes while their actors live.

    Args:
        actors: an actor's handle by the node that it is on.
    """

    def __init__(self, actors: Mapping[str, tuple[ClusterNode, Any]]) -> None:
        self._actors = dict(actors)
        self._hosts = _distinct([node for node, _ in actors.values()])
        self.silent: list[str] = []

    def facts(self, folders: Mapping[str, str]) -> list[NodeFacts]:
        """Return the facts of the nodes that answer; the others are `silent` from then on.

        Args:
            folders: absolute paths by what they are for.
        """
        told = self._ask(
            lambda node, actor: actor.facts.remote(dict(folders), node.total.get("GPU", 0.0))
        )
        self.silent = [self._hosts[id_] for id_ in self._actors if id_ not in told]
        self._actors = {id_: pair for id_, pair in self._actors.items() if id_ in told}
        errors = self._ask(lambda _, actor: actor.try_store.remote())
        return [
            self._facts_of(id_, answer, errors.get(id_, _SILENT)) for id_, answer in told.items()
        ]

    def sights(self, location: str, marks: Mapping[str, str]) -> tuple[Sight, ...]:
        """Return what the nodes see of a place: each writes a file, and reads those of all others.

        Args:
            location: a folder, or the URI of one; the files are removed from the latter alone.
            marks: name and text of the file that this process wrote.
        """
        (stem, text), *_ = ((name.removesuffix(HERE), text) for name, text in marks.items())
        files = {id_: f"{stem}{id_[:16]}" for id_ in self._actors}
        try:
            written = self._ask(
                lambda node, actor: actor.put_mark.remote(location, files[node.id], text)
            )
            there = {files[id_]: text for id_, error in written.items() if error is None}
            missed = self._ask(
                lambda _, actor: actor.missed_marks.remote(location, {**there, **marks})
            )
        finally:
            if "://" in location:
                for name in files.values():
                    node_probe.remove_mark(location, name)
        writers = {name: self._hosts[id_] for id_, name in files.items()}
        writers |= dict.fromkeys(marks, "this machine")
        return tuple(
            _sight(
                self._hosts[id_],
                written.get(id_, _SILENT),
                [writers[name] for name in missed.get(id_, ())],
            )
            for id_ in self._actors
        )

    def _facts_of(self, id_: str, told: Mapping[str, Any], error: str | None) -> NodeFacts:
        node, actor = self._actors[id_]
        took, offset = min(
            (_look_at_clock(actor) for _ in range(NUM_LOOKS)), key=lambda look: look[0]
        )
        return NodeFacts.of_plain(
            self._hosts[id_],
            told,
            clock_offset_s=offset,
            clock_error_s=took / 2,
            store_bytes=node.total.get("object_store_memory", 0.0),
            store_free_bytes=node.free.get("object_store_memory", 0.0),
            store_error=None if error is None else plain_reason(error),
        )

    def _ask(self, question: Callable[[ClusterNode, Any], Any]) -> dict[str, Any]:
        """Return the answers by node; of those that came in time."""
        asked = {question(node, actor): id_ for id_, (node, actor) in self._actors.items()}
        return _answers(asked, LIMIT_S)


@contextmanager
def asking(nodes: Sequence[ClusterNode]) -> Iterator[Questions]:
    """Start an actor on each node, for the length of a `with` block.

    Args:
        nodes: those to ask; they live and answer.
    """
    ray: Any = importlib.import_module("ray")
    ray.cloudpickle.register_pickle_by_value(node_probe)
    actors: dict[str, tuple[ClusterNode, Any]] = {}
    try:
        made = ray.remote(node_probe.NodeProbe)
        for node in nodes:
            options = {"num_cpus": 0, "max_restarts": 0, "scheduling_strategy": _there(node)}
            actors[node.id] = node, made.options(**options).remote(of_account())
        yield Questions(actors)
    finally:
        for _, actor in actors.values():
            ray.kill(actor)
        ray.cloudpickle.unregister_pickle_by_value(node_probe)


def measure_speeds(nodes: Sequence[ClusterNode]) -> list[Speed]:
    """Measure the GPUs of nodes, each node's at once; a node without GPUs is left out.

    Only GPUs that nobody uses are measured.

    Args:
        nodes: those to measure.
    """
    ray: Any = importlib.import_module("ray")
    hosts, asked, speeds = _distinct(nodes), {}, []
    source = Path(gpu_speed.__file__).read_text(encoding="utf-8")
    ray.cloudpickle.register_pickle_by_value(node_probe)
    try:
        task = ray.remote(node_probe.run_alone)
        for node in nodes:
            total, free = (int(kinds.get("GPU", 0)) for kinds in (node.total, node.free))
            if total and not free:
                why = f"all {total} GPUs are in use, and were left alone"
                speeds.append(Speed(hosts[node.id], why=why))
            elif free:
                options = {"num_cpus": 0, "num_gpus": free, "max_retries": 0}
                placed = task.options(**options, scheduling_strategy=_there(node))
                asked[placed.remote(source, ["cuda", str(free)], SPEED_LIMIT_S)] = node.id
        told = _answers(asked, SPEED_LIMIT_S + LIMIT_S)
    finally:
        ray.cloudpickle.unregister_pickle_by_value(node_probe)
    for id_ in asked.values():
        speeds.append(speed_of(hosts[id_], told.get(id_, {"error": "no answer in time"})))
    return speeds


def speed_of(host: str, told: Mapping[str, Any]) -> Speed:
    """Return what `gpu_speed.measure` told of a node's GPUs."""
    if "error" in told:
        return Speed(host, why=f"they could not be measured ({told['error']})")
    return Speed(host, tuple(told["tflops"]), told["link"])


def _look_at_clock(actor: Any) -> tuple[float, float | None]:
    """Return how long a node took to tell the time, and by how much that is not this one's."""
    ray: Any = importlib.import_module("ray")
    before = time.time()
    try:
        there = ray.get(actor.clock.remote(), timeout=CLOCK_LIMIT_S)
    except ray.exceptions.RayError:  # it does not answer any more: another finding
        return float("inf"), None
    after = time.time()
    return after - before, there - (before + after) / 2


def _answers(asked: Mapping[Any, str], limit_s: float) -> dict[str, Any]:
    """Return answers by node, of those that came in time; the others are cancelled."""
    ray: Any = importlib.import_module("ray")
    if not asked:
        return {}
    came, late = ray.wait(list(asked), num_returns=len(asked), timeout=limit_s)
    for answer in late:
        ray.cancel(answer)
    found = {}
    for answer in came:
        try:
            found[asked[answer]] = ray.get(answer)
        except ray.exceptions.RayError:  # the node went meanwhile: it counts as silent
            continue
    return found


def _sight(host: str, error: str | None, unread: Sequence[str]) -> Sight:
    if error is not None and error.startswith("FileNotFoundError"):
        return Sight(host, is_seen=False)
    return Sight(host, error=None if error is None else plain_reason(error), unread=tuple(unread))


def _distinct(nodes: Sequence[ClusterNode]) -> dict[str, str]:
    """Return what nodes are called: several on one host have a part of their id behind it."""
    hosts = [node.host for node in nodes]
    return {
        node.id: node.host if hosts.count(node.host) == 1 else f"{node.host} {node.id[:6]}"
        for node in nodes
    }


def _there(node: ClusterNode) -> Any:
    strategies: Any = importlib.import_module("ray.util.scheduling_strategies")
    return strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)


def connected_address() -> str:
    """Return HOST:PORT of the control store that this process is connected to."""
    ray: Any = importlib.import_module("ray")
    return str(ray.get_runtime_context().gcs_address)


def own_store() -> dict[str, Any]:
    """Return the facts of the object store of this process's own Ray, by attribute."""
    ray: Any = importlib.import_module("ray")
    error = node_probe.try_store()
    total, free = (
        kinds.get("object_store_memory", 0.0)
        for kinds in (ray.cluster_resources(), ray.available_resources())
    )
    return {
        "store_error": None if error is None else plain_reason(error),
        "store_bytes": total,
        "store_free_bytes": free,
    }
