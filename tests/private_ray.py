"""A Ray cluster of a test's own, by `ray start`: its head can come back, nodes be unwell."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import final

import psutil

from distrain.errors import ClusterError
from distrain.jobs.ray_nodes import free_ports, wait_until_up
from distrain.process import Process, family_of
from tests import loopback_autoscaler

RAY = Path(sys.executable).with_name("ray")
TIMEOUT_S = 180.0
CAN_MOUNT = os.geteuid() == 0 and (
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)
HEAD = "head"
_PORTS = (
    *("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"),
    *("ray-client-server-port", "node-manager-port", "object-manager-port"),
    *("runtime-env-agent-port", "metrics-export-port"),
)


@final
class PrivateRay:
    """A head with a dashboard, and nodes; they ask for a token unless the environment says other.

    Args:
        num_cpus: of the head.
        environment: variables of all nodes beside this process's.
    """

    def __init__(self, num_cpus: int = 2, environment: Mapping[str, str] | None = None) -> None:
        self.token = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.temp_dir = self._folder / "t"
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.address = f"127.0.0.1:{ports['port']}"
        self.url = f"http://127.0.0.1:{ports['dashboard-port']}"
        self.metrics_url = f"http://127.0.0.1:{ports['metrics-export-port']}/metrics"
        self._head = [
            *("--head", f"--num-cpus={num_cpus}", f"--temp-dir={self.temp_dir}"),
            *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
            *("--include-dashboard=true", "--object-store-memory=200000000"),
            *(f"--{name}={port}" for name, port in ports.items()),
        ]
        self._environment = {
            **{name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"},
            "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            **(environment or {}),
        }

    def let_grow(self, num_cpus: int, most: int) -> None:
        """Let Ray's autoscaler bring nodes of so many CPUs, and so many nodes; before the start."""
        config = self._folder / "autoscaler.yaml"
        told = loopback_autoscaler.config(self.address, num_cpus, most)
        config.write_text(json.dumps(told), encoding="utf-8")
        self._head.append(f"--autoscaling-config={config}")
        self._environment |= loopback_autoscaler.ENVIRONMENT

    def start(self) -> None:
        """Start its head, and wait until its dashboard and its agent answer."""
        self._start(HEAD, self._head, {}, [])
        deadline = time.monotonic() + TIMEOUT_S
        while not self._answers():
            assert time.monotonic() < deadline, self.url
            time.sleep(0.1)

    def add_node(
        self,
        name: str,
        *,
        num_gpus: int = 0,
        resources: Mapping[str, float] | None = None,
        environment: Mapping[str, str] | None = None,
        hidden: Path | None = None,
    ) -> None:
        """Add a node with one CPU, and wait until it is up.

        Args:
            name: what it is called here.
            num_gpus: GPUs that Ray is told of; none need be there.
            resources: custom ones.
            environment: variables of its processes.
            hidden: a folder in whose place its processes see an empty one of their own; with
                `temp_dir` the node is as on another machine, where nodes that share it take a job's
                files away from each other.
        """
        mount = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
        prefix = ["unshare", "-m", "sh", "-c", mount, str(hidden)] if hidden else []
        words = [f"--address={self.address}", "--num-cpus=1", f"--num-gpus={num_gpus}"]
        # A node whose agent finds its port taken cannot show the log of a job's driver.
        agent, metrics = free_ports(2)
        words += [f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"]
        words.append(f"--resources={json.dumps(dict(resources or {}))}")
        self._start(name, words, environment or {}, prefix)

    def processes_of(self, name: str) -> set[int]:
        """Return the ids of a node's processes, and of what they have started."""
        return set(family_of(self._nodes[name].pid))

    def kill_node(self, name: str) -> None:
        """End a node's processes with SIGKILL."""
        _kill(self._nodes[name])
        del self._nodes[name]

    def kill(self) -> None:
        """End all of it with SIGKILL, the drivers of its jobs too."""
        for name in reversed(list(self._nodes)):
            self.kill_node(name)
        # What has lost its parents is of no node's family.
        while left := _begun_below(str(self._folder)):
            _kill_all(left)

    def remove(self) -> None:
        """End all of it, and remove what it has written."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(
        self, name: str, words: list[str], environment: Mapping[str, str], prefix: list[str]
    ) -> None:
        try:
            self._start_once(name, words, environment, prefix)
        except ClusterError:  # Ray itself gives a node 30 s, which a loaded machine may not
            self.kill_node(name)
            self._start_once(name, words, environment, prefix)

    def _start_once(
        self, name: str, words: list[str], environment: Mapping[str, str], prefix: list[str]
    ) -> None:
        log = self._folder / f"{name}.log"
        with log.open("wb") as told:
            node = subprocess.Popen(
                [*prefix, RAY, "start", *words, "--block"],
                stdout=told,
                stderr=told,
                env={**self._environment, **environment},
                start_new_session=True,
            )
        self._nodes[name] = node
        wait_until_up(Process.here(node.pid), log)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/version", timeout=2):
                return True
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code == 401
        except OSError:
            return False


@contextlib.contextmanager
def private_ray(
    num_cpus: int = 2, environment: Mapping[str, str] | None = None
) -> Iterator[PrivateRay]:
    """Give a cluster whose head has started."""
    ray = PrivateRay(num_cpus, environment)
    try:
        ray.start()
        yield ray
    finally:
        ray.remove()


def _kill(node: subprocess.Popen[bytes]) -> None:
    # Whoever watches over a process of Ray may start another while the first are ended.
    while family := family_of(node.pid):
        _kill_all(family)
    node.wait()


def _kill_all(processes: Iterable[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    time.sleep(0.05)


def _begun_below(folder: str) -> list[int]:
    """Return the living processes that name a folder: Ray's own sessions, and those of its jobs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            named = [*process.cmdline(), process.cwd()]
            if any(folder in text for text in named):
                found.append(process.pid)
    return found
