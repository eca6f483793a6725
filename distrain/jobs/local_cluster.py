"""A Ray of several nodes on this machine, to try out what a cluster does: up, status, down.

What enters: a name, and how many nodes of how many CPUs. What leaves: nodes that listen on
127.0.0.1 alone and ask for a token, and a folder that only its user can enter,
`distrain-<user id>-<name>` below the temporary folder. It holds `cluster.json`, which says whose
processes they are, their logs, and all that Ray writes; `down` removes it. Nothing of another Ray
on this machine is touched, its default address file neither.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from distrain.durable import write_atomically
from distrain.errors import ClusterError, ConfigError
from distrain.jobs.ray_nodes import (
    NodePlan,
    children_in,
    end_nodes,
    environment,
    is_living,
    plan_nodes,
    start_node,
    wait_until_up,
)
from distrain.loopback import HOST
from distrain.process import Process
from distrain.ray_token import asks_for_token, ensure_token

RECORD: Final = "cluster.json"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
_RAY_FOLDER: Final = "r"
# The name of a socket has 107 characters at most, of which 71 are for what Ray puts below
# the folder,
# `/r10/session_2026-11-30_09-33-29_954789_4194304/sockets/plasma_store.64`.
_MOST_FOLDER_CHARACTERS: Final = 107 - 71


@final
@dataclass(frozen=True)
class LocalCluster:
    """A cluster on this machine, as its folder has it.

    Attributes:
        name: the cluster's.
        folder: that all of it lies in.
        address: HOST:PORT, for `--address`.
        dashboard: URL of Ray's dashboard.
        num_nodes: how many it has, or is to have.
        num_cpus: of each node.
        has_token: whether it asks who comes for a token.
        starter: the process that started it.
        nodes: the processes of the nodes that were started, the head first.
    """

    name: str
    folder: Path
    address: str
    dashboard: str
    num_nodes: int
    num_cpus: int
    has_token: bool
    starter: Process
    nodes: tuple[Process, ...] = ()

    @property
    def alive(self) -> list[bool]:
        """Return which nodes are alive, the head first; one that was never started is not."""
        started = [is_living(node) for node in self.nodes]
        return started + [False] * (self.num_nodes - len(started))

    @property
    def state(self) -> str:
        """Return `up`, `starting`, `nodes dead` or, without its head, `dead`."""
        alive = self.alive
        if all(alive):
            return "up"
        if len(self.nodes) < self.num_nodes and is_living(self.starter):
            return "starting"
        return "nodes dead" if alive[0] else "dead"

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` tells of it."""
        return {
            "name": self.name,
            "state": self.state,
            "address": self.address,
            "dashboard": self.dashboard,
            "has_token": self.has_token,
            "num_cpus": self.num_cpus,
            "nodes": [
                {"role": _role(number), "is_alive": is_alive}
                for number, is_alive in enumerate(self.alive)
            ],
            "folder": str(self.folder),
        }


def up(
    name: str, *, num_nodes: int, num_cpus: int, tell: Callable[[str], None] = lambda _: None
) -> LocalCluster:
    """Start a cluster, and return it when all of its nodes are up.

    Args:
        name: for it; two of one name do not run at a time.
        num_nodes: how many, the head among them.
        num_cpus: that each node declares, whatever the machine has.
        tell: is told what is done meanwhile.

    Raises:
        ConfigError: the name cannot be one, or there is such a cluster already.
        ClusterError: a node does not start; what was started is ended again.
    """
    _check_name(name)
    _check_system(name)
    for earlier in clusters(name):
        if earlier.state != "dead":
            raise _is_there(earlier)
        down(earlier)
    ensure_token()
    cluster = _claim(name, num_nodes, num_cpus)
    try:
        return _start(cluster, tell)
    except BaseException:  # raised again; what has been started is ended, after Ctrl-C too
        end_nodes(children_in(cluster.folder))
        shutil.rmtree(cluster.folder)
        raise


def down(cluster: LocalCluster) -> None:
    """End a cluster's processes and remove its folder.

    Args:
        cluster: as `clusters` gives it.

    Raises:
        ConfigError: another command is starting it.
    """
    if cluster.state == "starting":
        raise ConfigError(
            f"the cluster {cluster.name!r} is being started by process {cluster.starter.pid}",
            where="distrain cluster down",
            expected="one that is up, or dead",
            mend="Interrupt that command with Ctrl-C, or wait until it is done",
        )
    end_nodes(cluster.nodes)
    with contextlib.suppress(FileNotFoundError):  # two commands `down` at a time
        _remove(cluster.folder)


def clusters(name: str | None = None) -> list[LocalCluster]:
    """Return this user's clusters on this machine, by name.

    Args:
        name: of the only one that is asked for; None: of all.

    Raises:
        ConfigError: no cluster can have that name.
    """
    if name is not None:
        _check_name(name)
    pattern = _folder_of("*" if name is None else name)
    known = map(_read_own, sorted(pattern.parent.glob(pattern.name)))
    return [cluster for cluster in known if cluster is not None]


def named(name: str) -> LocalCluster:
    """Return the cluster of a name.

    Raises:
        ConfigError: there is none, or no cluster can have that name.
    """
    for cluster in clusters(name):
        return cluster
    others = ", ".join(cluster.name for cluster in clusters())
    raise ConfigError(
        f"there is no cluster {name!r} on this machine",
        where="--name",
        expected=f"one of: {others}" if others else "the name of one; there is none",
        mend=f"Start it with `distrain cluster up --name {name}`",
    )


def _start(cluster: LocalCluster, tell: Callable[[str], None]) -> LocalCluster:
    """Start the nodes one after another: side by side they would not be up in Ray's 30 s."""
    ray_folder = cluster.folder / _RAY_FOLDER
    planned = plan_nodes(ray_folder, num_nodes=cluster.num_nodes, num_cpus=cluster.num_cpus)
    plans = list(itertools.islice(planned, cluster.num_nodes))
    head = plans[0].ports
    cluster = replace(
        cluster,
        address=f"{HOST}:{head['--port']}",
        dashboard=f"http://{HOST}:{head['--dashboard-port']}",
    )
    for number, plan in enumerate(plans):
        tell(f"starting {_role(number)}")
        try:
            cluster = _with_node(cluster, plan)
        except ClusterError:
            if number == 0:
                raise
            # On a busy machine those 30 s may be too short once.
            cluster = _with_node(cluster, plan)
    return cluster


def _with_node(cluster: LocalCluster, plan: NodePlan) -> LocalCluster:
    """Start a cluster's next node, and return the cluster with it when it is up."""
    log = cluster.folder / f"{_role(len(cluster.nodes))}.log"
    started = start_node(plan, cluster.folder, log, environment(), outlives_this=True)
    process = Process.here(started.pid)
    larger = replace(cluster, nodes=(*cluster.nodes, process))
    _write(larger)
    try:
        wait_until_up(process, log)
    except ClusterError:
        end_nodes([process])
        raise
    return larger


def _claim(name: str, num_nodes: int, num_cpus: int) -> LocalCluster:
    """Make the folder of a cluster, with its record, in one step that only one process can do."""
    folder = _folder_of(name)
    made = Path(tempfile.mkdtemp(prefix=".distrain-", dir=folder.parent))
    token = asks_for_token()
    cluster = LocalCluster(name, made, "", "", num_nodes, num_cpus, token, Process.current())
    try:
        _write(cluster)
        made.rename(folder)
    except OSError as error:
        shutil.rmtree(made)
        raise ClusterError(
            f"it cannot be made ({error})",
            where=str(folder),
            expected="a name whose folder is not there yet, and room for one",
            mend="See `distrain cluster status`, or give another --name",
        ) from error
    return replace(cluster, folder=folder)


def _remove(folder: Path) -> None:
    """Remove a cluster's folder, its record last: so `down` finds what an interruption left."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != RECORD:
            path.unlink()
    shutil.rmtree(folder)


def _write(cluster: LocalCluster) -> None:
    fields = asdict(replace(cluster, folder=Path())) | {"folder": None}
    write_atomically(cluster.folder / RECORD, json.dumps(fields).encode())


def _read_own(folder: Path) -> LocalCluster | None:
    """Return what a folder says of a cluster; None: it says nothing, or is another user's."""
    try:
        # Anybody may make a folder below the temporary one.
        if folder.lstat().st_uid != os.getuid():
            return None
        fields = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return LocalCluster(
        **{
            **fields,
            "folder": folder,
            "starter": Process(**fields["starter"]),
            "nodes": tuple(Process(**node) for node in fields["nodes"]),
        }
    )


def _folder_of(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"distrain-{os.getuid()}-{name}"


def _role(number: int) -> str:
    return "head" if number == 0 else f"node-{number}"


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} cannot be the name of a cluster",
            where="--name",
            expected="at most 20 small letters, digits and hyphens",
            mend="For example: distrain cluster up --name trial-1",
        )


def _check_system(name: str) -> None:
    folder = _folder_of(name)
    if len(str(folder)) > _MOST_FOLDER_CHARACTERS:
        raise ConfigError(
            f"the path {folder} is too long for the sockets below it",
            where="distrain cluster up",
            expected=f"at most {_MOST_FOLDER_CHARACTERS} characters",
            mend="Give a shorter --name, or set TMPDIR to a folder with a shorter path",
        )
    if Process.current().start_time is None:
        raise ConfigError(
            "this system does not tell when a process began",
            where="distrain cluster up",
            expected="Linux, as Ray has several nodes on one machine there alone",
            mend="Use a container or a virtual machine with Linux",
        )


def _is_there(cluster: LocalCluster) -> ConfigError:
    return ConfigError(
        f"the cluster {cluster.name!r} is there already ({cluster.state}) at {cluster.address}",
        where="distrain cluster up",
        expected="a name that no cluster has",
        mend=f"Use it, end it with `distrain cluster down --name {cluster.name}`, "
        "or give another --name",
    )
