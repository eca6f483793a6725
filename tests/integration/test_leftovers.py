"""Nothing is left of a run in the system, however it ended: it had a Ray of its own."""

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pytest

from distrain.loopback import is_loopback
from tests.bad_cases import CONFIG, PEOPLE
from tests.leftovers import (
    DRIVER,
    MARK,
    OWN_THREADS,
    SHARED_MEMORY,
    end_marked,
    in_use,
    marked,
    wait_until_gone,
)
from tests.listening import listening

pytestmark = pytest.mark.slow

LEAVE_S = 20.0
NET = """
import os, signal, time, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 2)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        if torch.distributed.is_initialized() and self.calls == 7:
            END
        return self.layer(x)
"""
ENDS = {
    "finished": (0, "pass"),
    "failed": (1, "raise ValueError('a mistake in the model')"),
    # As `timeout` and service managers do it: the signal goes to the driver's whole group. Without
    # the pause the run might be over before the driver has passed it on.
    "interrupted": (
        130,
        "os.killpg(int(open('driver.pid').read()), signal.SIGTERM); time.sleep(3)",
    ),
}


@final
@dataclass(frozen=True)
class Left:
    """What there is after a run.

    Attributes:
        code: the driver's exit code.
        processes: command lines of processes that the run started and that are still there.
        memory: files in shared memory that are new, and that no living process has open.
        opened: what the driver had open at its end.
        threads: the driver's threads at its end.
        num_seen: how many processes the run was seen to have.
        addresses: what they were seen to listen on.
    """

    code: int
    processes: list[str]
    memory: list[str]
    opened: list[str]
    threads: list[str]
    num_seen: int
    addresses: set[str]


@pytest.fixture(params=["finished", "failed", pytest.param("interrupted", marks=pytest.mark.long)])
def end(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def left(end: str, tmp_path: Path) -> Left:
    net = NET.replace("END", ENDS[end][1].replace("driver.pid", f"{tmp_path}/driver.pid"))
    for name, content in {"people.csv": PEOPLE, "run.yaml": CONFIG, "net.py": net}.items():
        (tmp_path / name).write_text(content)
    before = set(SHARED_MEMORY.iterdir())
    mark = uuid.uuid4().hex
    words = ["model.target=net:Net", "train.num_workers=2", "train.global_batch_size=16"]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, "train", "run.yaml", *words, "--json"],
        cwd=tmp_path,
        env={**os.environ, MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    (tmp_path / "driver.pid").write_text(str(driver.pid))
    try:
        seen: set[int] = set()
        addresses: set[str] = set()
        while driver.poll() is None:
            now = set(marked(mark))
            seen |= now
            addresses |= {address for address, _ in listening(now)}
            time.sleep(0.5)
        remaining = wait_until_gone(mark, LEAVE_S)
    finally:
        end_marked(mark)
        driver.wait()
    held = json.loads((tmp_path / "held.json").read_text())
    return Left(
        code=driver.returncode,
        processes=remaining,
        memory=[str(path) for path in set(SHARED_MEMORY.iterdir()) - before - in_use()],
        opened=held["opened"],
        threads=held["threads"],
        num_seen=len(seen),
        addresses=addresses,
    )


def test_nothing_of_a_run_is_left(end: str, left: Left, tmp_path: Path) -> None:
    assert left.code == ENDS[end][0]
    assert left.num_seen > 4  # the driver, Ray's own, and two workers at least
    assert left.processes == []
    assert left.memory == []
    storage = str(tmp_path / "runs" / "run")
    held = [path for path in left.opened if path.startswith(("/memfd:distrain", storage))]
    assert held == []
    assert [name for name in left.threads if name in OWN_THREADS] == []
    # No service listens beyond this machine by default.
    assert left.addresses != set()
    assert {address for address in left.addresses if not is_loopback(address)} == set()
