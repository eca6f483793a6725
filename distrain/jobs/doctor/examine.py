"""The examination: every check that can be made, in this order, whatever the others found.

    here: the token's file, this machine, the places that runs keep something in, left runs, ports
    MLflow, in a thread meanwhile: it takes seconds to import
    Ray: connect, or start a local one and end it
    of a cluster: its nodes; of each that answers its facts, and whether it sees the places
    with `measures_gpus`: the speed of the GPUs that nobody uses

Out: a `Diagnosis`. Nothing is left behind: files of its own are removed, actors ended.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

from distrain.config.environment import expand_env
from distrain.config.names import is_remote
from distrain.config.settings import Settings
from distrain.display import Display
from distrain.errors import ClusterError, ConfigError, DistrainError
from distrain.jobs.doctor import asking, gpu_speed, judge_nodes, judge_places, judge_record, look
from distrain.jobs.doctor.facts import ClusterNode, NodeFacts, Place
from distrain.jobs.doctor.findings import Diagnosis, Finding, counted, finding_of, names
from distrain.loopback import is_loopback
from distrain.ray_session import ray_session, wanted_address
from distrain.ray_token import ask_access, find_token
from distrain.track.examination import TrackingFacts, examine_tracking
from distrain.track.tracking_server import resolve_tracking_uri, server_beside_store

UI_PORT: Final = 5000
"""What `distrain ui` listens on where it is told nothing else."""


@final
@dataclass(frozen=True)
class Request:
    """What is to be examined.

    Attributes:
        settings: the configuration that the machines should be fit for; None: any.
        storage: the folder of runs, where there is no configuration.
        address: of a Ray cluster; None: as the configuration or RAY_ADDRESS has it.
        ports: TCP ports that must be free here; none: the one of `distrain ui`, which may be.
        measures_gpus: whether the speed of GPUs is measured.
    """

    settings: Settings | None = None
    storage: Path = Path("runs")
    address: str | None = None
    ports: tuple[int, ...] = ()
    measures_gpus: bool = False

    @property
    def ray_address(self) -> str:
        """Return the address to connect to, or `local`."""
        named = self.settings.cluster.address if self.settings else None
        return wanted_address(self.address or named)


@final
@dataclass
class _Notes:
    """What is written down during an examination, check by check."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, found: Sequence[Finding]) -> None:
        self.findings += found


def examine(request: Request, display: Display) -> Diagnosis:
    """Return what is fit and unfit of this machine, or of a cluster.

    Args:
        request: what is to be examined.
        display: what is told meanwhile.
    """
    notes = _Notes()
    storage = look.storage_text(request.settings, request.storage)
    places = look.places_of(request.settings, storage)
    here = look.look_here(look.disk_folders(request.settings, request.storage))
    address = request.ray_address
    with _tracking(request, places["storage"]) as tracking, ExitStack() as stack:
        marks = [stack.enter_context(look.marked(key, place)) for key, place in places.items()]
        examine_ray = _examine_local if address == "local" else _examine_cluster
        examine_ray(notes, request, here, marks, display)
        display.stage("asking the tracking server")
        notes.add(_tracking_findings(tracking))
    if not is_remote(places["storage"]):
        notes.add(judge_record.judge_runs(look.look_at_runs(places["storage"]), storage))
    notes.add(_port_findings(request, tracking))
    return Diagnosis(tuple(notes.findings))


Mark = tuple[Place, str, dict[str, str]]


def _examine_local(
    notes: _Notes, request: Request, here: NodeFacts, marks: Sequence[Mark], display: Display
) -> None:
    """Examine this machine, on which a command would start a Ray of its own."""
    display.stage("starting a local Ray, for a moment")
    began = time.monotonic()
    try:
        with look.token_of_its_own(), ray_session("local", num_cpus=1):
            took = time.monotonic() - began
            here = replace(here, **asking.own_store())
        notes.add([Finding("Ray", "ok", f"a local Ray starts, in {took:.0f} s")])
    except ClusterError as error:
        notes.add([finding_of("Ray", error)])
    notes.add(judge_places.judge_token(find_token()))
    notes.add(judge_places.judge_local_room(request.settings, here.num_devices))
    _judge_machines(notes, here, [], marks)
    if request.measures_gpus:
        _measure_here(notes, here, display)


def _measure_here(notes: _Notes, here: NodeFacts, display: Display) -> None:
    """Measure the GPUs of this machine; where there are none, say so."""
    num = here.torch_gpus.num_seen if here.torch_gpus else 0
    if not num:
        notes.add([Finding("GPU speed", "ok", "not measured: there is no GPU that torch can use")])
        return
    display.stage(f"measuring {counted(num, 'GPU')}")
    measured = asking.speed_of(here.host, gpu_speed.measure("cuda", num))
    notes.add(judge_record.judge_speeds([measured]))


def _examine_cluster(
    notes: _Notes, request: Request, here: NodeFacts, marks: Sequence[Mark], display: Display
) -> None:
    """Examine a cluster; where it cannot be reached, what this machine alone can tell."""
    address = request.ray_address
    display.stage(f"connecting to Ray at {address}")
    try:
        with ray_session(address, num_cpus=1):
            _examine_nodes(notes, request, here, marks, display)
    except (ClusterError, ConfigError) as error:
        notes.add([finding_of("Ray", error)])
        notes.add(judge_places.judge_token(find_token()))
        _judge_machines(notes, here, [], marks)


def _examine_nodes(
    notes: _Notes, request: Request, here: NodeFacts, marks: Sequence[Mark], display: Display
) -> None:
    nodes = asking.cluster_nodes()
    address = asking.connected_address()
    notes.add([Finding("Ray", "ok", f"answers at {address}")])
    is_near = all(is_loopback(node.host.partition("(")[2].rstrip(")")) for node in nodes)
    notes.add(judge_places.judge_access(ask_access(address), is_near=is_near))
    notes.add(judge_places.judge_token(find_token()))
    notes.add(judge_places.judge_nodes(nodes, address))
    notes.add(judge_places.judge_room(request.settings, nodes))
    fit = [node for node in nodes if node.is_alive and node.answers]
    display.stage(f"asking {counted(len(fit), 'node')}")
    with asking.asking(fit) as questions:
        facts = questions.facts(look.disk_folders(request.settings, request.storage))
        seen = [
            (replace(place, sights=questions.sights(location, files)), location, files)
            if place.error is None
            else (place, location, files)
            for place, location, files in marks
        ]
    notes.add(_silent(questions.silent))
    _judge_machines(notes, here, facts, seen)
    if request.measures_gpus:
        _measure_nodes(notes, fit, display)


def _measure_nodes(notes: _Notes, nodes: Sequence[ClusterNode], display: Display) -> None:
    if not any(node.total.get("GPU") for node in nodes):
        notes.add([Finding("GPU speed", "ok", "not measured: no node has a GPU")])
        return
    display.stage("measuring the GPUs")
    notes.add(judge_record.judge_speeds(asking.measure_speeds(nodes)))


def _judge_machines(
    notes: _Notes, here: NodeFacts, nodes: Sequence[NodeFacts], marks: Sequence[Mark]
) -> None:
    """Judge the nodes' facts, or those of this machine where there are none."""
    machines = nodes or [here]
    notes.add(judge_nodes.judge_versions(here, nodes))
    notes.add(judge_nodes.judge_torch(here, nodes))
    notes.add(judge_nodes.judge_clocks(nodes))
    notes.add(judge_nodes.judge_disks(machines))
    notes.add(judge_nodes.judge_memory(machines))
    notes.add(judge_nodes.judge_stores(machines))
    notes.add(judge_nodes.judge_gpus(machines))
    notes.add(judge_nodes.judge_nccl(machines))
    for place, _, _ in marks:
        notes.add(judge_places.judge_place(place))


def _silent(hosts: Sequence[str]) -> list[Finding]:
    if not hosts:
        return []
    text = f"no actor came up there within {asking.LIMIT_S:.0f} s"
    mend = "Look into raylet.out and python-core-worker logs in Ray's session folder there"
    return [Finding("nodes", "fault", text, mend, names(hosts))]


@contextmanager
def _tracking(request: Request, storage: str) -> "Iterator[Future[TrackingFacts]]":
    """Ask the tracking store in a thread, for the length of a `with` block."""
    configured = request.settings.track.uri if request.settings else None
    uri = expand_env(configured) if configured else None

    def ask() -> TrackingFacts:
        if is_remote(storage):
            return examine_tracking(server_beside_store(uri, storage, is_offline=False))
        return examine_tracking(resolve_tracking_uri(uri, Path(storage)))

    with ThreadPoolExecutor(1, thread_name_prefix="mlflow-asking") as pool:
        yield pool.submit(ask)


def _tracking_findings(tracking: "Future[TrackingFacts]") -> list[Finding]:
    try:
        return judge_record.judge_tracking(tracking.result())
    except DistrainError as error:
        return [finding_of("MLflow", error)]


def _port_findings(request: Request, tracking: "Future[TrackingFacts]") -> list[Finding]:
    """Return findings about the ports that are needed here."""
    found = []
    for port in request.ports or (UI_PORT,):
        reason = look.why_taken(port)
        if reason is not None and not request.ports and _is_served_at(tracking, port):
            found.append(Finding("port", "ok", f"{port} is the tracking server's"))
            continue
        found.append(judge_places.judge_port(port, reason, is_named=bool(request.ports)))
    return found


def _is_served_at(tracking: "Future[TrackingFacts]", port: int) -> bool:
    """Return whether the tracking server is on this port of the loopback address."""
    with contextlib.suppress(DistrainError):
        facts = tracking.result()
        place = facts.shown.partition("://")[2].rpartition("@")[2].partition("/")[0]
        host, _, its_port = place.rpartition(":")
        return facts.error is None and its_port == str(port) and is_loopback(host.strip("[]"))
    return False
