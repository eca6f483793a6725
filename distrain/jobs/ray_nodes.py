"""Nodes of a private Ray on 127.0.0.1, each of them one `ray start --block` with ports of its own.

What enters: where the nodes keep their files, and how large they are. What leaves: processes, which
are ended by their ids, and with each all that it started. Ray's default ports are never used, and
none that the kernel gives out by itself, so that nothing takes one in between.
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from distrain.errors import ClusterError
from distrain.jobs.sessions import start_session
from distrain.loopback import HOST
from distrain.process import Process, family_of, start_time_of
from distrain.ray_token import MODE

PORTS: Final = range(20000, 32768)
START_TIMEOUT_S: Final = 180.0  # `ray start` is 10 s of imports, on a busy machine a minute
END_TIMEOUT_S: Final = 15.0
STARTED: Final = "Ray runtime started"
_PORTS_OF_A_NODE: Final = (
    *("--node-manager-port", "--object-manager-port", "--dashboard-agent-listen-port"),
    *("--dashboard-agent-grpc-port", "--runtime-env-agent-port", "--metrics-export-port"),
)
_PORTS_OF_A_HEAD: Final = ("--port", "--dashboard-port", "--ray-client-server-port")
_LEAST_OBJECTS_BYTES: Final = 100 * 2**20
_MOST_OBJECTS_BYTES: Final = 2 * 2**30


@dataclass(frozen=True)
class NodePlan:
    """A node that is to be started.

    Attributes:
        words: the arguments of `ray start`.
        ports: those that it listens on, by their option's name.
    """

    words: tuple[str, ...]
    ports: dict[str, int]


def plan_nodes(
    folder: Path, *, num_nodes: int, num_cpus: int, of_head: Sequence[str] = ()
) -> Iterator[NodePlan]:
    """Give the nodes of a cluster, its head first; there is always another one.

    Args:
        folder: for Ray's own files; its path is short, as sockets lie below it.
        num_nodes: how many there are at a time, the head among them.
        num_cpus: that each of them declares.
        of_head: further options of the head's.

    Raises:
        ClusterError: there are not enough free ports.
    """
    given: set[int] = set()
    shared = (
        *("--block", f"--node-ip-address={HOST}", f"--num-cpus={num_cpus}", "--num-gpus=0"),
        *("--min-worker-port=0", "--max-worker-port=0"),
        f"--object-store-memory={_object_store_bytes(num_nodes)}",
    )
    role: tuple[str, ...] = ("--head", f"--dashboard-host={HOST}", *of_head)
    for number in itertools.count():
        names = _PORTS_OF_A_NODE if number else (*_PORTS_OF_A_NODE, *_PORTS_OF_A_HEAD)
        used = dict(zip(names, free_ports(len(names), given), strict=True))
        given.update(used.values())
        # Each has a folder of its own, as on machines of their own: in one that they share, a node
        # that gets a job's files puts them anew under the feet of those that run there (Ray 2.60).
        temporary = f"--temp-dir={folder}{number or ''}"
        options = (f"{name}={port}" for name, port in used.items())
        yield NodePlan((*role, temporary, *shared, *options), used)
        if number == 0:
            role = (f"--address={HOST}:{used['--port']}",)


def free_ports(count: int, given: Collection[int] = ()) -> list[int]:
    """Return ports of the loopback address that nothing listens on.

    Args:
        count: how many.
        given: ports that are not free any more, though nothing listens on them yet.

    Raises:
        ClusterError: there are not so many.
    """
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        if port in given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
    raise ClusterError(
        f"{len(found)} ports are free",
        where=f"ports {PORTS.start} to {PORTS.stop - 1} of {HOST}",
        expected=f"{count} free ones",
        mend="End some of what listens there, or ask for fewer nodes",
    )


def environment() -> dict[str, str]:
    """Return the environment that nodes run in: with token authentication, unless it says other.

    `python`, which jobs are started with, is the one that runs here, also where nobody has put the
    folder of its environment on PATH.
    """
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {MODE: "token", "RAY_USAGE_STATS_ENABLED": "0", **kept, "PATH": path}


def start_node(
    plan: NodePlan,
    folder: Path,
    log: Path,
    environment: Mapping[str, str],
    *,
    outlives_this: bool = False,
) -> "subprocess.Popen[str]":
    """Start a node without waiting for it to be up.

    Args:
        plan: what to start.
        folder: its working directory.
        log: the file that `ray start` tells its course in.
        environment: its variables, which what it starts inherits.
        outlives_this: whether it goes on when this process ends.
    """
    # -P: a file of the user's named ray.py is not taken for Ray.
    words = [sys.executable, "-P", "-m", "distrain.jobs.loopback_start", *plan.words]
    with log.open("w", encoding="utf-8") as told:
        return start_session(
            words,
            environment,
            errors=subprocess.STDOUT,
            output=told,
            folder=folder,
            outlives_this=outlives_this,
        )


def children_in(folder: Path) -> list[Process]:
    """Return the processes that this one has started and that work in a folder."""
    folder, family = folder.resolve(), family_of(os.getpid())
    return [
        Process.here(pid)
        for pid in family
        if pid != os.getpid() and _working_directory(pid) == folder
    ]


def wait_until_up(process: Process, log: Path) -> None:
    """Wait until a node is up.

    Args:
        process: the node's.
        log: the file that it tells its course in.

    Raises:
        ClusterError: it ended, or is not up in time.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while STARTED not in log.read_text(encoding="utf-8", errors="replace"):
        if not is_living(process):
            raise _not_up(log, "ended while it started")
        if time.monotonic() > deadline:
            raise _not_up(log, f"is not up after {START_TIMEOUT_S:.0f} s")
        time.sleep(0.1)


def is_living(process: Process) -> bool:
    """Return whether a process of this system's present run is there still."""
    return process.is_in_sight and not process.is_dead


def end_nodes(nodes: Sequence[Process]) -> None:
    """End nodes and all that they started, and wait until they are gone.

    Each `ray start` is told first, which ends its own processes in order; what is there still after
    15 seconds is killed.
    """
    families = [family for node in nodes for family in _family(node).items()]
    for node in nodes:
        if is_living(node):
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_TIMEOUT_S
    while (left := _left(nodes, families)) and time.monotonic() < deadline:
        time.sleep(0.05)
    while left:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        left = _left(nodes, families)


def _working_directory(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _left(nodes: Sequence[Process], families: Sequence[tuple[int, int]]) -> set[int]:
    """Return who is there still of what was there before, or is so by now."""
    _reap(nodes)
    joined = {pid for node in nodes for pid in _family(node)}
    return joined | {pid for pid, start in families if start_time_of(pid) == start}


def _family(node: Process) -> dict[int, int]:
    # While a session has members, the kernel gives its number to no other process.
    if is_living(node) or (node.is_in_sight and start_time_of(node.pid) is None):
        return family_of(node.pid)
    return {}


def _reap(nodes: Sequence[Process]) -> None:
    """Take leave of nodes that this process itself has started, if they have ended."""
    for node in nodes:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(node.pid, os.WNOHANG)


def _object_store_bytes(num_nodes: int) -> int:
    """Return how much memory each node has for objects: all together a quarter of what is free."""
    free = shutil.disk_usage("/dev/shm").free // 4 // num_nodes
    return max(_LEAST_OBJECTS_BYTES, min(_MOST_OBJECTS_BYTES, free))


def _not_up(log: Path, what: str) -> ClusterError:
    told = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return ClusterError(
        f"{log.stem} {what} ({' / '.join(told[-5:])[-600:] or 'it said nothing'})",
        where="this machine",
        expected="free memory for a Ray node of about 500 MB, and a folder with a short path",
        mend="End what else runs here, start fewer nodes, or set TMPDIR to another folder",
    )
