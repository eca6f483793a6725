"""Where workers meet: what their store listens on, by the kernel's own account."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.listening import listening

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# A process of one worker, which tells the port of its store and then waits for its stdin to end.
STORE = """
import json, sys
from datetime import timedelta
from distrain.train.meeting import meeting_store

host, port = sys.argv[1], int(sys.argv[2])
store = meeting_store(host, port, 1, is_master=True, timeout=timedelta(seconds=20))
there = meeting_store(host, store.port, 1, is_master=False, timeout=timedelta(seconds=20))
there.set("key", "value")
print(json.dumps([store.port, store.get("key").decode()]), flush=True)
sys.stdin.read()
"""
GROUP = """
import json, sys
import torch.distributed as dist
from distrain.train.meeting import meet_where_ray_does

meet_where_ray_does()
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{sys.argv[1]}", rank=0, world_size=1)
print(json.dumps([int(sys.argv[1])]), flush=True)
sys.stdin.read()
"""


def seen(source: str, *words: str) -> tuple[list[Any], set[tuple[str, int]]]:
    """Run a process; return what it tells, and what it listens on."""
    command = [sys.executable, "-c", source, *words]
    repository = Path(__file__).parents[3]
    with subprocess.Popen(
        command,
        cwd=repository,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        addresses = listening([process.pid])
        process.communicate()
    return told, addresses


@pytest.fixture(scope="module")
def store() -> tuple[list[Any], set[tuple[str, int]]]:
    """What a process with a store tells, and what it listens on: it takes seconds to begin."""
    return seen(STORE, "127.0.0.1", "0")


def test_a_store_listens_on_its_own_address_alone(
    store: tuple[list[Any], set[tuple[str, int]]],
) -> None:
    (port, value), addresses = store

    assert value == "value"
    assert addresses == {("127.0.0.1", port)}


def test_torch_s_own_meeting_listens_there_too(
    store: tuple[list[Any], set[tuple[str, int]]],
) -> None:
    (once_taken, _), _ = store  # its process has ended: the port is free
    (port,), addresses = seen(GROUP, str(once_taken))

    assert ("127.0.0.1", port) in addresses
    assert {address for address, _ in addresses} == {"127.0.0.1"}
