"""A private Ray of several nodes on this machine, of which any but the head can be lost.

The nodes listen on the loopback address alone, with ports, temporary folders and a token of their
own: Ray's default address file is never written, and nobody else's cluster is seen or joined.
"""

import json
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol, final

from distrain.jobs.ray_nodes import NodePlan, plan_nodes, start_node, wait_until_up
from distrain.jobs.sessions import command_line, end_session
from distrain.loopback import HOST
from distrain.process import Process, family_of
from distrain.ray_token import MODE, TOKEN_PATH

IMPATIENCE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_timeout_ms": 1000,
        "health_check_failure_threshold": 3,
    }
)
"""Ray's settings by which a lost node is missed in a second or two, not in half a minute."""
_NODE_ID: Final = "--node_id="


class Nodes(Protocol):
    """Nodes of a cluster that can be lost and added; the head stays."""

    def nodes(self) -> Mapping[str, object]:
        """Return the living nodes beside the head by Ray's ids."""

    def add_node(self) -> None:
        """Add a node, and wait until it is there."""

    def kill_node(self, node_id: str) -> None:
        """End all of a node at once, with SIGKILL."""


@final
class PrivateRay:
    """A head and further nodes, with a CPU each; use it as a context manager.

    Args:
        folder: takes Ray's temporary files, its token and what the nodes tell. Short, because the
            names of sockets below it may have 107 characters at most.
        environment: variables of the nodes; their workers inherit them.
        num_nodes: nodes beside the head.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], num_nodes: int) -> None:
        self._folder = folder
        token = folder / "token"
        folder.mkdir(parents=True)
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="utf-8")
        self.environment: Mapping[str, str] = {
            **environment,
            MODE: "token",
            TOKEN_PATH: str(token),
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # else a SIGTERM takes half a minute
            "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",
        }
        of_head = ("--include-dashboard=false", f"--system-config={json.dumps(dict(IMPATIENCE))}")
        self._plans = plan_nodes(folder / "r", num_nodes=1 + num_nodes, num_cpus=1, of_head=of_head)
        head = next(self._plans)
        self._port = head.ports["--port"]
        self._started: list[subprocess.Popen[str]] = []
        try:
            self._start(head)
            for _ in range(num_nodes):
                self.add_node()
        except BaseException:  # goes through; what there is by now is ended first
            self.shutdown()
            raise

    def __enter__(self) -> "PrivateRay":
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()

    @property
    def address(self) -> str:
        """Return HOST:PORT of the cluster."""
        return f"{HOST}:{self._port}"

    def add_node(self) -> None:
        """Add a node, and wait until it is there.

        Raises:
            ClusterError: it does not start.
        """
        self._start(next(self._plans))

    def nodes(self) -> dict[str, "subprocess.Popen[str]"]:
        """Return the living nodes beside the head, by Ray's ids."""
        found = {_node_id(process): process for process in self._started[1:]}
        return {node_id: process for node_id, process in found.items() if node_id}

    def kill_node(self, node_id: str) -> None:
        """End a node's raylet, agents and workers at once, with SIGKILL."""
        process = self.nodes()[node_id]
        end_session(process)
        self._started.remove(process)

    def shutdown(self) -> None:
        """End all nodes and what runs on them."""
        while self._started:
            end_session(self._started.pop())

    def _start(self, plan: NodePlan) -> None:
        log = self._folder / f"node-{secrets.token_hex(3)}.log"
        process = start_node(plan, self._folder, log, self.environment)
        self._started.append(process)
        wait_until_up(Process.here(process.pid), log)


def _node_id(process: "subprocess.Popen[str]") -> str:
    """Return Ray's id of a node that was started by a process; empty: it is not alive."""
    for member in family_of(process.pid):
        for word in command_line(member):
            if word.startswith(_NODE_ID) and Path(command_line(member)[0]).name == "raylet":
                return word.removeprefix(_NODE_ID)
    return ""
