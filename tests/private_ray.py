"""A Ray cluster of a test's own, by `ray start`: its nodes ask for a token, and can be unwell."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

RAY = Path(sys.executable).with_name("ray")
TIMEOUT_S = 180.0  # `ray start` is 10 s of imports, on a busy machine a minute


@final
class PrivateRay:
    """Nodes on this machine that ask for a token; the head is started at once.

    Args:
        num_cpus: of the head.
    """

    def __init__(self, num_cpus: int) -> None:
        self.token = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        head = ["--head", f"--port={port}", f"--temp-dir={self._folder}/t"]
        self._start("head", [*head, "--include-dashboard=false", f"--num-cpus={num_cpus}"], {}, [])

    def add_node(
        self,
        name: str,
        *,
        num_gpus: int = 0,
        environment: Mapping[str, str] | None = None,
        hidden: Path | None = None,
    ) -> None:
        """Add a node with one CPU, and wait until it is up.

        Args:
            name: what it is called here.
            num_gpus: GPUs that Ray is told of; none need be there.
            environment: variables of its processes.
            hidden: a folder in whose place its processes see an empty one of their own.
        """
        mount = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
        prefix = ["unshare", "-m", "sh", "-c", mount, str(hidden)] if hidden else []
        words = [f"--address={self.address}", "--num-cpus=1", f"--num-gpus={num_gpus}"]
        self._start(name, words, environment or {}, prefix)

    def kill_node(self, name: str) -> None:
        """End a node's processes with SIGKILL."""
        node = self._nodes.pop(name)
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def remove(self) -> None:
        """End all nodes, and remove what they wrote."""
        for name in reversed(list(self._nodes)):
            self.kill_node(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(
        self, name: str, words: list[str], environment: Mapping[str, str], prefix: list[str]
    ) -> None:
        log = self._folder / f"{name}.log"
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        with log.open("wb") as told:
            node = subprocess.Popen(
                [*prefix, RAY, "start", *words, "--block"],
                stdout=told,
                stderr=told,
                env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **own, **environment},
                start_new_session=True,
            )
        self._nodes[name] = node
        deadline = time.monotonic() + TIMEOUT_S
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
