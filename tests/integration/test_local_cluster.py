"""A Ray of several nodes on this machine, as a shell starts, uses and ends it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distrain.loopback import is_loopback
from tests.leftovers import MARK, end_marked, marked, wait_until_gone
from tests.listening import listening

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parent.parent.parent / "examples" / "digits"
COMMAND = [sys.executable, "-c", "from distrain.cli import main; main()"]


class Place:
    """A user's machine: a home, a temporary folder, and what processes are marked with."""

    def __init__(self) -> None:
        # Not below pytest's folder: sockets' paths have 107 characters at most.
        self.temporary = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp"))
        self.folder = self.temporary / "user"
        self.mark = uuid.uuid4().hex
        (self.folder / "home").mkdir(parents=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.environment = {
            **kept,
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.temporary),
            MARK: self.mark,
        }

    def distrain(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command and return the object that it prints."""
        ended = subprocess.run(
            [*COMMAND, *words, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert ended.returncode == code, ended.stderr
        answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        return answer

    @property
    def processes(self) -> set[int]:
        return set(marked(self.mark))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    made = Place()
    yield made
    end_marked(made.mark)
    shutil.rmtree(made.temporary)


@pytest.fixture(scope="module")
def cluster(place: Place) -> dict[str, Any]:
    """A cluster of three nodes with a CPU each; its last test ends it."""
    return place.distrain("cluster", "up", "--nodes", "3", "--cpus", "1")


def test_a_cluster_comes_up_with_all_its_nodes(place: Place, cluster: dict[str, Any]) -> None:
    told = place.distrain("cluster", "status")

    assert cluster["state"] == "up"
    assert [node["role"] for node in cluster["nodes"]] == ["head", "node-1", "node-2"]
    assert told == {"clusters": [cluster]}


def test_it_listens_on_loopback_alone(place: Place, cluster: dict[str, Any]) -> None:
    addresses = listening(place.processes)
    ports = {port for _, port in addresses}

    assert int(cluster["address"].rpartition(":")[2]) in ports
    assert int(cluster["dashboard"].rpartition(":")[2]) in ports
    assert [pair for pair in addresses if not is_loopback(pair[0])] == []


def test_a_second_one_of_its_name_is_refused(place: Place, cluster: dict[str, Any]) -> None:
    answer = place.distrain("cluster", "up", code=2)

    assert answer["error"]["message"] == (
        f"the cluster 'local' is there already (up) at {cluster['address']}"
    )


@pytest.mark.long
def test_a_run_trains_on_its_nodes(place: Place, cluster: dict[str, Any]) -> None:
    result = place.distrain(
        *("train", str(DIGITS / "digits.yaml"), str(DIGITS / "tiny.yaml")),
        *("train.num_workers=2", "--address", cluster["address"]),
    )
    sessions = Path(cluster["folder"]) / "r" / "session_latest" / "logs"

    assert result["status"] == "finished"
    assert result["num_workers"] == 2
    assert list(sessions.glob("python-core-driver-*")) != []


def status(url: str, token: str | None) -> int:
    """Return the status that a request to the dashboard is answered with."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_who_has_no_token_or_another_one_is_refused(place: Place, cluster: dict[str, Any]) -> None:
    jobs = f"{cluster['dashboard']}/api/jobs/"
    token = (place.folder / "home" / ".ray" / "auth_token").read_text(encoding="utf-8")

    assert status(jobs, token) == 200
    assert status(jobs, None) == 401
    assert status(jobs, token[::-1]) in (401, 403)


def test_a_dead_node_is_noticed_and_down_leaves_nothing(
    place: Place, cluster: dict[str, Any]
) -> None:
    record = json.loads((Path(cluster["folder"]) / "cluster.json").read_text(encoding="utf-8"))
    os.kill(record["nodes"][2]["pid"], signal.SIGKILL)
    [known] = place.distrain("cluster", "status", code=4)["clusters"]

    ended = place.distrain("cluster", "down")

    assert known["state"] == "nodes dead"
    assert [node["is_alive"] for node in known["nodes"]] == [True, True, False]
    assert ended == {"name": "local", "state": "ended"}
    assert wait_until_gone(place.mark, 5) == []
    assert [path.name for path in place.temporary.iterdir() if "distrain" in path.name] == []
    assert place.distrain("cluster", "status") == {"clusters": []}


@pytest.mark.long
def test_a_command_that_is_interrupted_leaves_nothing(place: Place) -> None:
    process = subprocess.Popen(
        [*COMMAND, "cluster", "up", "--nodes", "2", "--cpus", "1", "--name", "other"],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(place.processes) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=60) == 130
    assert wait_until_gone(place.mark, 5) == []
    assert [path.name for path in place.temporary.iterdir() if "distrain" in path.name] == []
