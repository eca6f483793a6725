"""Where a process works on a run that is kept in an object store: a folder of this host's disk.

    <temporary folder>/distrain-runs-<user>/<token>/.lock              held by who works there
    <temporary folder>/distrain-runs-<user>/<token>/runs/<name>/<run>  the run's folder

Each command makes one of its own, under a new token, and its workers share it; on another host they
make it. So no two drivers ever share one, dead or alive, and what is in it is what the store has.
Folders that nobody holds any more are removed by who comes next: the kernel drops the locks of the
dead.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LOCK: Final = ".lock"
DRIVER: Final = ".driver"
RUNS: Final = "runs"
_FRESH_S: Final = 60.0


def new_token() -> str:
    """Return a name that no other command gives its folder."""
    return secrets.token_hex(8)


@contextmanager
def work_folder(token: str, *, is_driver: bool) -> Iterator[tuple[Path, bool]]:
    """Give the folder of a token, and whether the driver works in it too; held in the block.

    The driver's is removed when its block ends.

    Args:
        token: of the command.
        is_driver: whether it is this process's own.
    """
    base = _base()
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_left(base, but=token)
    folder = base / token
    lock = _hold(folder)
    try:
        if is_driver:
            (folder / DRIVER).touch()
        (folder / RUNS).mkdir(exist_ok=True)
        yield folder / RUNS, (folder / DRIVER).exists()
    finally:
        if is_driver:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _base() -> Path:
    return Path(tempfile.gettempdir()) / f"distrain-runs-{os.getuid()}"


def _hold(folder: Path) -> int:
    """Return a descriptor that holds a folder, which is made where it is missing."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # removed at this very moment, as nobody held it
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if (folder / LOCK).stat().st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)


def _remove_left(base: Path, but: str) -> None:
    """Remove the folders that nobody holds."""
    for folder in base.iterdir():
        if folder.name == but:
            continue
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _FRESH_S:
                    shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
