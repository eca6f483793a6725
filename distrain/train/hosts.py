"""Whether every host sees what a run keeps and reads: its storage, the user's code, local data.

    driver   makes a mark in each folder that must be the same one everywhere
    task     on each node with another address, looks for the marks, and for what may be a copy; or
             whether the object store that keeps the run lets it in, as it would a worker
    worker   of a node that came later, looks for the run's folder before it writes anything

A worker without the storage would else make the run's folder once more, find there no prepared data
and nobody who drives the run, and be taken for lost, again and again.
"""

import contextlib
import importlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, final

from distrain.config.environment import OF_ACCOUNT, expand_env, of_account
from distrain.errors import ConfigError, DistrainError, TrainError
from distrain.object_store.fitness import check_store
from distrain.object_store.place import Place
from distrain.run_folder import temporary_folder

T = TypeVar("T")

LIMIT_S: Final = 30.0
"""How long all nodes together may take to answer; others judge later of one that does not."""
PATIENCE_S: Final = 3.0
"""How long a file system may take to show what was made on another host."""
LOOK_S: Final = 0.25


@final
@dataclass(frozen=True)
class Host:
    """A node that does not have the driver's address.

    Attributes:
        node: Ray's id of it.
        name: the host's name.
        address: the node's address.
    """

    node: str
    name: str
    address: str

    @property
    def text(self) -> str:
        """Return what a person is told of it."""
        return f"{self.name} ({self.address})"


def other_hosts() -> list[Host]:
    """Return the nodes with other addresses than the driver's that work may be placed on."""
    ray: Any = importlib.import_module("ray")
    nodes = [node for node in ray.nodes() if node["Alive"]]
    own = ray.get_runtime_context().get_node_id()
    here = {node["NodeManagerAddress"] for node in nodes if node["NodeID"] == own}
    return [
        Host(node["NodeID"], node["NodeManagerHostname"], node["NodeManagerAddress"])
        for node in nodes
        if node["NodeManagerAddress"] not in here
        and any(node["Resources"].get(kind, 0) > 0 for kind in ("CPU", "GPU"))
    ]


def check_hosts(
    hosts: Sequence[Host], kept: Mapping[str, Path], read: Sequence[tuple[str, Path]]
) -> None:
    """Return where hosts see what a run keeps and reads, as far as they answer.

    Each folder is made for that time where it is not there.

    Args:
        hosts: as `other_hosts` gives them.
        kept: folders that must be the same one everywhere, by configuration key.
        read: what must lie at the same path everywhere, each with what it is.

    Raises:
        ConfigError: a host does not see something.
    """
    with contextlib.ExitStack() as stack:
        marks = {
            str(stack.enter_context(temporary_folder(folder, "seen"))): f"{key} {folder}"
            for key, folder in kept.items()
        }
        copies = {str(path): f"{what} {path}" for what, path in read}
        unseen = {
            host: paths for host, paths in _unseen_by(hosts, [*marks, *copies]).items() if paths
        }
    if unseen:
        missing = {path for paths in unseen.values() for path in paths}
        told = [text for path, text in {**marks, **copies}.items() if path in missing]
        raise _not_seen(list(unseen), told, is_kept=not missing.isdisjoint(marks))


def check_store_from(hosts: Sequence[Host], place: Place, env: Mapping[str, str]) -> None:
    """Return where hosts can keep a run at a store, as far as they answer.

    Args:
        hosts: as `other_hosts` gives them.
        place: where runs are kept.
        env: the section `cluster.env`, which workers there are given, beside this account.

    Raises:
        ConfigError: the store lets a host not in, or it lacks what speaks with stores.
        StorageError: a host does not reach the store.
    """
    named = {name: expand_env(text) for name, text in env.items() if name.startswith(OF_ACCOUNT)}
    found = _answers(hosts, store_fault, place.uri, {**of_account(), **named})
    faults = {host: fault for host, fault in found.items() if fault is not None}
    if faults:
        first = next(iter(faults.values()))
        raise type(first)(
            first.message,
            where=f"{first.where}, from {_shown(list(faults))}",
            expected=first.expected,
            mend=first.mend,
        )


def store_fault(uri: str, account: Mapping[str, str]) -> DistrainError | None:
    """Return why this host cannot keep a run at a store, None where it can.

    Args:
        uri: of the place where runs are kept.
        account: variables that a worker here is given.
    """
    before = {name: os.environ.get(name) for name in account}
    os.environ.update(account)
    try:
        check_store(Place.parse(uri))
    except DistrainError as fault:
        return fault
    finally:  # Ray may use the process again, for what reads data by the node's own account
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text
    return None


def check_run_folder(run_dir: Path, rank: int) -> None:
    """Return where this process sees the folder of the run that it is a worker of.

    Args:
        run_dir: the run's folder, which the driver has made.
        rank: the worker's.

    Raises:
        TrainError: it does not.
    """
    if not unseen_paths([str(run_dir)]):
        return
    util: Any = importlib.import_module("ray.util")
    host = Host("", socket.gethostname(), util.get_node_ip_address())
    raise TrainError(
        f"the run's folder {run_dir} is not there",
        where=f"worker of rank {rank} on host {host.text}",
        expected="the same storage on every node that workers are placed on",
        mend="Mount it there, or keep such nodes out of the cluster, and resume",
        cause="user",
        error_class="storage_not_seen",
    )


def unseen_paths(paths: Sequence[str]) -> list[str]:
    """Return what is not there of some paths, after a moment's patience.

    Folders are listed first: NFS remembers for a minute what was not there.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        for folder in {Path(path).parent for path in paths}:
            with contextlib.suppress(OSError):
                list(folder.iterdir())
        unseen = [path for path in paths if not _is_there(path)]
        if not unseen or time.monotonic() > deadline:
            return unseen
        time.sleep(LOOK_S)


def _is_there(path: str) -> bool:
    try:
        Path(path).stat()
    except OSError:
        return False
    return True


def _unseen_by(hosts: Sequence[Host], paths: list[str]) -> dict[Host, list[str]]:
    """Return what each host does not see of some paths; only of those that answer."""
    return _answers(hosts, unseen_paths, paths)


def _answers(hosts: Sequence[Host], question: Callable[..., T], *given: object) -> dict[Host, T]:
    """Return what each host answers, of those that do.

    Args:
        hosts: who is asked.
        question: a function of a module, called there.
        given: what it is called with.
    """
    ray: Any = importlib.import_module("ray")
    strategies: Any = importlib.import_module("ray.util.scheduling_strategies")
    task = ray.remote(question)
    asked = {
        task.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(host.node, soft=False),
        ).remote(*given): host
        for host in hosts
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=LIMIT_S)
    for answer in silent:
        ray.cancel(answer, force=True)
    found = {}
    for answer in answered:
        with contextlib.suppress(ray.exceptions.RayError):  # it has gone, or knows no distrain
            found[asked[answer]] = ray.get(answer)
    return found


def _not_seen(hosts: Sequence[Host], told: Sequence[str], *, is_kept: bool) -> ConfigError:
    """Return the error that tells of hosts.

    Args:
        hosts: those that do not see something.
        told: what it is, in words.
        is_kept: whether something of it is written to, so that a copy would not do.
    """
    there = "Mount the same storage on every node" if is_kept else "Copy it to the same path there"
    return ConfigError(
        f"{', '.join(told)} {'is' if len(told) == 1 else 'are'} not seen there",
        where=_shown(hosts),
        expected="what the run keeps and reads at the same path on every node that can take work",
        mend=f"{there}, or keep such nodes out of the cluster",
    )


def _shown(hosts: Sequence[Host]) -> str:
    shown = ", ".join(host.text for host in hosts[:3])
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    return f"host{'s' if len(hosts) > 1 else ''} {shown}{more}"
