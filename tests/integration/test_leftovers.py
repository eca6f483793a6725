"""Nothing is left of a run in the system, however it ended: it had a Ray of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pytest

from tests.bad_cases import CONFIG, PEOPLE

pytestmark = pytest.mark.slow

MARK = "DISTRAIN_TEST_MARK"
LEAVE_S = 20.0
SHARED_MEMORY = Path("/dev/shm")
# The command as a shell runs it; at its end the process tells what it still holds.
DRIVER = """
import json, os, sys, threading
from pathlib import Path
from distrain import cli

code = 1
try:
    cli.main()
except SystemExit as left:
    code = left.code
opened = []
for link in Path("/proc/self/fd").iterdir():
    if link.is_symlink():
        opened.append(str(link.readlink()))
threads = [thread.name for thread in threading.enumerate()]
Path("held.json").write_text(json.dumps({"opened": opened, "threads": threads}))
sys.exit(code)
"""
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
    """

    code: int
    processes: list[str]
    memory: list[str]
    opened: list[str]
    threads: list[str]
    num_seen: int


@pytest.fixture(params=ENDS)
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
        while driver.poll() is None:
            seen.update(marked(mark))
            time.sleep(0.5)
        deadline = time.monotonic() + LEAVE_S
        while list(marked(mark)) and time.monotonic() < deadline:
            time.sleep(0.2)
        remaining = [command(process) for process in marked(mark)]
    finally:
        for process in marked(mark):
            os.kill(process, signal.SIGKILL)
        driver.wait()
    held = json.loads((tmp_path / "held.json").read_text())
    return Left(
        code=driver.returncode,
        processes=remaining,
        memory=[str(path) for path in set(SHARED_MEMORY.iterdir()) - before - in_use()],
        opened=held["opened"],
        threads=held["threads"],
        num_seen=len(seen),
    )


def marked(mark: str) -> Iterator[int]:
    """Give the processes whose environment has a mark, those of other sessions never."""
    wanted = f"{MARK}={mark}".encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if wanted in (process / "environ").read_bytes().split(b"\0"):
                    yield int(process.name)
            except OSError:
                continue  # it has just ended, or is another user's


def command(process: int) -> str:
    """Return a process's command line, as far as it is still there."""
    try:
        text = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return f"process {process}, which has ended since"
    return text.replace(b"\0", b" ").decode()


def in_use() -> set[Path]:
    """Return the files in shared memory that a living process has open or mapped."""
    found: set[Path] = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found |= {link.readlink() for link in (process / "fd").iterdir()}
                lines = (process / "maps").read_text().splitlines()
            except OSError:
                continue
            found |= {Path(line.split(maxsplit=5)[-1]) for line in lines if "/dev/shm/" in line}
    return found


def test_nothing_of_a_run_is_left(end: str, left: Left, tmp_path: Path) -> None:
    assert left.code == ENDS[end][0]
    assert left.num_seen > 4  # the driver, Ray's own, and two workers at least
    assert left.processes == []
    assert left.memory == []
    storage = str(tmp_path / "runs" / "run")
    held = [path for path in left.opened if path.startswith(("/memfd:distrain", storage))]
    assert held == []
    assert [name for name in left.threads if name in OWN_THREADS] == []


OWN_THREADS = (
    *("distrain-shipper", "distrain-lease", "distrain-room"),
    *("journal-watch", "oversight", "ray-train", "system-metrics"),
)
