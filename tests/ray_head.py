"""A private Ray head with a dashboard on loopback; its processes are ended by their ids."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import final

import psutil

RAY = Path(sys.executable).with_name("ray")
TIMEOUT_S = 180.0
_PORTS = (
    *("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"),
    *("ray-client-server-port", "node-manager-port", "object-manager-port"),
    *("runtime-env-agent-port", "metrics-export-port"),
)


@final
class RayHead:
    """A head of its own; all of it listens on ports that were free.

    Args:
        num_cpus: what it declares.
        environment: variables beside this process's; without RAY_AUTH_MODE it asks for no token.
    """

    def __init__(self, num_cpus: int = 2, environment: Mapping[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="head-", dir="/tmp")
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self.url = f"http://127.0.0.1:{ports['dashboard-port']}"
        self._command = [
            *(str(RAY), "start", "--head", "--block", f"--num-cpus={num_cpus}"),
            *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
            *(f"--temp-dir={self._folder.name}", "--include-dashboard=true"),
            *("--object-store-memory=200000000", "--disable-usage-stats"),
            *(f"--{name}={port}" for name, port in ports.items()),
        ]
        self._environment = {
            # What runs there is found where a cluster's Python finds it, not where the tests do.
            **{
                name: text
                for name, text in os.environ.items()
                if name not in ("RAY_ADDRESS", "PYTHONPATH")
            },
            "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "disabled",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until its dashboard and its agent answer."""
        log = Path(self._folder.name) / "start.log"
        with log.open("wb") as told:
            self._process = subprocess.Popen(
                self._command,
                stdout=told,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + TIMEOUT_S
        while not (b"Ray runtime started" in log.read_bytes() and self._answers()):
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """End all of it with SIGKILL, the drivers of its jobs too."""
        if self._process is None:
            return
        # Whoever watches over a process of Ray may start another while the first are ended.
        while family := [*_family(self._process.pid), *_begun_below(self._folder.name)]:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            self._process.poll()
            time.sleep(0.05)
        self._process.wait()
        self._process = None

    def remove(self) -> None:
        """End it, and remove what it has left."""
        self.kill()
        self._folder.cleanup()

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
def ray_head(num_cpus: int = 2, environment: Mapping[str, str] | None = None) -> Iterator[RayHead]:
    """Give a head that has started."""
    head = RayHead(num_cpus, environment)
    try:
        head.start()
        yield head
    finally:
        head.remove()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it that live."""
    try:
        first = psutil.Process(pid)
        return [
            process
            for process in (first, *first.children(recursive=True))
            if process.status() != psutil.STATUS_ZOMBIE
        ]
    except psutil.NoSuchProcess:
        return []


def _begun_below(folder: str) -> list[psutil.Process]:
    """Return the living processes that name a folder: Ray's own sessions, and those of its jobs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            named = [*process.cmdline(), process.cwd()]
            if any(folder in text for text in named):
                found.append(process)
    return found
