"""A small disk of a run's own, which can be full without filling another."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


def can_mount(folder: Path) -> bool:
    """Return whether a small disk can be mounted: a sandbox may refuse even root.

    Args:
        folder: an empty one, where it is tried.
    """
    if os.geteuid() != 0:
        return False
    try:
        _mount(folder, 1)
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


@contextlib.contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[None]:
    """Mount a disk of its own, in memory, for the length of a `with` block; root alone can.

    Args:
        folder: where; it is made.
        size_mib: its size in MiB.
    """
    folder.mkdir(parents=True)
    _mount(folder, size_mib)
    try:
        yield
    finally:
        time.sleep(1)  # what was killed last closes its files
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(folder: Path, size_mib: int) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
