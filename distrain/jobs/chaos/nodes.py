"""A private Ray of several nodes on this machine, of which any but the head can be lost.

The nodes are `ray start` in sessions of their own, with ports, a temporary folder and a token of
their own: Ray's default address file is never written, and nobody else's cluster is seen or joined.
"""

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol, final

from distrain.errors import ClusterError
from distrain.jobs.chaos.sessions import command_line, end_session, members, start_session

START_TIMEOUT_S: Final = 180.0  # `ray start` is seconds of imports, on a busy machine a minute
IMPATIENCE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_timeout_ms": 1000,
        "health_check_failure_threshold": 3,
    }
)
"""Ray's settings by which a lost node is missed in a second or two, not in half a minute."""
_STARTED: Final = "Ray runtime started"
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
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",
        }
        self._port, self._client_port = _free_ports()
        self._started: list[subprocess.Popen[str]] = []
        try:
            self._start_head()
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
        return f"127.0.0.1:{self._port}"

    def add_node(self) -> None:
        """Add a node, and wait until it is there.

        Raises:
            ClusterError: it does not start.
        """
        self._start([f"--address={self.address}"])

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

    def _start_head(self) -> None:
        role = ["--head", f"--port={self._port}", f"--temp-dir={self._folder}"]
        role += [f"--ray-client-server-port={self._client_port}", "--include-dashboard=false"]
        self._start([*role, f"--system-config={json.dumps(dict(IMPATIENCE))}"])

    def _start(self, role: list[str]) -> None:
        log = self._folder / f"node-{secrets.token_hex(3)}.log"
        words = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", *role, "--num-cpus=1"]
        # Ports that other clusters on this machine do not have: by default they would be the same.
        words += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        with log.open("w") as told:
            process = start_session([*words, "--block"], self.environment, errors=told, output=told)
        self._started.append(process)
        deadline = time.monotonic() + START_TIMEOUT_S
        while _STARTED not in (text := log.read_text(encoding="utf-8", errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(
                    f"a node of the private Ray did not start ({text.strip()[-500:]})",
                    where="this machine",
                    expected="free memory, and a temporary folder with a short path",
                    mend="Set TMPDIR to use another folder than /tmp, or end what else runs here",
                )
            time.sleep(0.05)


def _node_id(process: "subprocess.Popen[str]") -> str:
    """Return Ray's id of a node that was started by a process; empty: it is not alive."""
    for member in members(process.pid):
        for word in command_line(member):
            if word.startswith(_NODE_ID) and Path(command_line(member)[0]).name == "raylet":
                return word.removeprefix(_NODE_ID)
    return ""


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
