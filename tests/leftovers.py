"""What commands leave behind in the system: processes by a mark of their own, shared memory."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "DISTRAIN_TEST_MARK"
SHARED_MEMORY = Path("/dev/shm")
OWN_THREADS = (
    *("distrain-shipper", "distrain-lease", "distrain-room"),
    *("journal-watch", "oversight", "ray-train", "ray-tune", "system-metrics"),
)
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


def wait_until_gone(mark: str, timeout_s: float) -> list[str]:
    """Return the command lines of the marked processes that are still there after so long."""
    deadline = time.monotonic() + timeout_s
    while list(marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [command(process) for process in marked(mark)]


def end_marked(mark: str) -> None:
    """End the processes that have a mark, with SIGKILL."""
    for process in marked(mark):
        os.kill(process, signal.SIGKILL)


def command(process: int) -> str:
    """Return a process's command line, as far as it is still there."""
    try:
        text = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return f"process {process}, which has ended since"
    return text.replace(b"\0", b" ").decode().strip()


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
