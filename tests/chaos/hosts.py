"""Hosts with addresses of their own on one machine: network namespaces, joined by a switch.

Each is a Ray node of a private cluster. They share the machine's disk, as the nodes of a cluster
share their storage. Only root can make them.
"""

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
from collections.abc import Iterator
from pathlib import Path
from typing import final

from distrain.jobs.chaos.nodes import IMPATIENCE

RAY = Path(sys.executable).with_name("ray")
NETWORK = "10.77.0"
PORT = 6379
DASHBOARD_PORT = 8265
LINK = "link0"
TIMEOUT_S = 180.0  # `ray start` is 10 s of imports, on a busy machine a minute


@final
class Hosts:
    """A switch, and hosts that are plugged into it; the first one has the cluster's head.

    Args:
        count: how many hosts, with a CPU each.
        num_started: on how many of them Ray is started; the others may be later.
        token: what Ray's processes ask for; None: they let everybody in.
        has_dashboard: whether the head has one, which takes jobs.
    """

    def __init__(
        self, count: int, num_started: int, *, token: str | None = None, has_dashboard: bool = False
    ) -> None:
        self._token = token
        self._has_dashboard = has_dashboard
        self._id = secrets.token_hex(3)
        self._temp_dir = Path(tempfile.mkdtemp(prefix="hosts-", dir="/tmp"))
        self._nodes: dict[int, subprocess.Popen[str]] = {}
        self._names = [f"distrain-{self._id}-{number}" for number in range(count)]
        self._switch = f"distrain-{self._id}-switch"
        try:
            _ip("netns", "add", self._switch)
            _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "switch", "up")
            for number in range(count):
                self._plug(number)
            for number in range(num_started):
                self.start_node(number)
        except BaseException:  # goes through; what there is by now is removed first
            self.remove()
            raise

    @property
    def address(self) -> str:
        """Return HOST:PORT of the cluster."""
        return f"{self.address_of(0)}:{PORT}"

    @property
    def url(self) -> str:
        """Return the dashboard's address."""
        return f"http://{self.address_of(0)}:{DASHBOARD_PORT}"

    @property
    def authentication(self) -> dict[str, str]:
        """Return the environment of whoever has the cluster's token."""
        if self._token is None:
            return {"RAY_AUTH_MODE": "disabled"}
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token}

    @staticmethod
    def address_of(number: int) -> str:
        """Return a host's own address."""
        return f"{NETWORK}.{number + 1}"

    def words_on(self, number: int) -> list[str]:
        """Return what a command line begins with that is run on a host."""
        return ["ip", "netns", "exec", self._names[number]]

    def processes_on(self, number: int) -> set[int]:
        """Return the ids of all processes on a host."""
        return {int(line) for line in _ip("netns", "pids", self._names[number]).split()}

    def start_node(self, number: int, hidden: Path | None = None) -> None:
        """Start Ray on a host, and wait until it is up.

        Args:
            number: the host's.
            hidden: a folder in whose place its processes have an empty one of their own.
        """
        mount = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
        mounted = [] if hidden is None else ["sh", "-c", mount, str(hidden)]
        role = [f"--address={self.address}"]
        if number == 0:
            settings = json.dumps(dict(IMPATIENCE))
            role = ["--head", f"--port={PORT}"]
            role += [f"--include-dashboard={self._has_dashboard}", f"--system-config={settings}"]
            role += [f"--dashboard-host={self.address_of(0)}"]
            role += [f"--dashboard-port={DASHBOARD_PORT}"]
        # Nodes that share Ray's folder take a job's files away from each other.
        role.append(f"--temp-dir={self._temp_dir}/{number}")
        log = self._temp_dir / f"host-{number}.log"
        with log.open("w") as told:
            process = subprocess.Popen(
                [
                    *(*self.words_on(number), *mounted, RAY, "start", *role, "--num-cpus=1"),
                    *(f"--node-ip-address={self.address_of(number)}", "--block"),
                ],
                stdout=told,
                stderr=subprocess.STDOUT,
                text=True,
                # The token that a local Ray has left at home would be taken up by a head alone.
                env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **self.authentication},
            )
        self._nodes[number] = process
        deadline = time.monotonic() + TIMEOUT_S
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def cut(self, number: int) -> None:
        """Take a host's link out of the switch: what is sent over it is lost without a word."""
        _ip("-n", self._switch, "link", "set", f"port{number}", "nomaster")

    def heal(self, number: int) -> None:
        """Plug a host's link into the switch again."""
        _ip("-n", self._switch, "link", "set", f"port{number}", "master", "switch")

    def end_node(self, number: int) -> None:
        """End all processes on a host with SIGKILL."""
        deadline = time.monotonic() + TIMEOUT_S
        while left := self.processes_on(number):
            assert time.monotonic() < deadline, left
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)
        if number in self._nodes:
            self._nodes.pop(number).wait()

    def remove(self) -> None:
        """End all that runs on the hosts, and remove them."""
        made = {line.split()[0] for line in _ip("netns", "list").splitlines()}
        for number, name in reversed(list(enumerate(self._names))):
            if name in made:
                self.end_node(number)
                _ip("netns", "del", name)
        if self._switch in made:
            _ip("netns", "del", self._switch)
        shutil.rmtree(self._temp_dir)

    def _plug(self, number: int) -> None:
        name, port = self._names[number], f"port{number}"
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
        _ip(
            *("-n", self._switch, "link", "add", port, "type", "veth"),
            *("peer", "name", LINK, "netns", name),
        )
        _ip("-n", self._switch, "link", "set", port, "master", "switch", "up")
        _ip("-n", name, "address", "add", f"{self.address_of(number)}/24", "dev", LINK)
        _ip("-n", name, "link", "set", LINK, "up")


@contextlib.contextmanager
def hosts(
    count: int,
    num_started: int | None = None,
    *,
    token: str | None = None,
    has_dashboard: bool = False,
) -> Iterator[Hosts]:
    """Give a cluster of so many hosts, on all of which Ray is started, or on the first ones."""
    num = count if num_started is None else num_started
    made = Hosts(count, num, token=token, has_dashboard=has_dashboard)
    try:
        yield made
    finally:
        made.remove()


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    return done.stdout


def _has_namespaces() -> bool:
    """Return whether hosts can be made: a sandbox may refuse even root."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"distrain-{secrets.token_hex(3)}-tried"
    try:
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "add", "switch", "type", "bridge")
            _ip("-n", name, "link", "add", "port", "type", "veth", "peer", "name", LINK)
        finally:
            _ip("netns", "del", name)
    except subprocess.CalledProcessError:
        return False
    return True


HAS_NAMESPACES = _has_namespaces()
