"""The claims of a run's drivers, as files in its folder; at a store: `object_store/claims.py`.

    <run>/.lease/<fence>             a driver has this number; made once, and never removed
    <run>/.lease/<fence>.<attempt>   its workers of that attempt may commit
    <run>/lease.json                 what the newest driver says of itself

Exactly one process can make a file that is not there, so a number is given once. Claims and
`lease.json` are both read, because a listing of a folder on NFS may be a minute old, and a file
that is opened is not. For the same reason the workers of an attempt open a file that the next
attempt, or driver, removes.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from distrain.durable import sync_folder
from distrain.foreign import read_file
from distrain.listing import paths_in

LEASE: Final = "lease.json"
CLAIMS: Final = ".lease"


def claim(run_dir: Path, fence: int, text: bytes) -> None:
    """Make a number this process's.

    Args:
        run_dir: the run's folder.
        fence: the number.
        text: what `lease.json` is to say.

    Raises:
        FileExistsError: another was faster.
        OSError: the disk takes no file; nothing was claimed.
    """
    folder = run_dir / CLAIMS
    folder.mkdir(exist_ok=True)
    made = folder / str(fence)
    with _written(run_dir, text) as temporary:
        made.touch(exist_ok=False)
        try:
            sync_folder(folder)
            temporary.replace(run_dir / LEASE)
        except OSError:
            made.unlink(missing_ok=True)
            raise


def renew(run_dir: Path, text: bytes) -> None:
    """Let `lease.json` say something else; only who has the newest number does.

    Raises:
        OSError: the disk takes no file.
    """
    with _written(run_dir, text) as temporary:
        temporary.replace(run_dir / LEASE)


def grant(folder: Path, fence: int, attempt: int) -> None:
    """Let the holder of a run's lease drive what lies in a folder of its own, in an attempt."""
    (folder / CLAIMS).mkdir(parents=True, exist_ok=True)
    (folder / CLAIMS / str(fence)).touch()
    begin_attempt(folder, fence, attempt)


def begin_attempt(run_dir: Path, fence: int, attempt: int) -> None:
    """Let the workers of an attempt commit, and those of earlier attempts and drivers no longer."""
    for permit in paths_in(run_dir / CLAIMS, "[0-9]*.*"):
        if int(permit.name.partition(".")[0]) <= fence:  # a later driver's are not this one's
            permit.unlink(missing_ok=True)
    _permit(run_dir, fence, attempt).touch()
    sync_folder(run_dir / CLAIMS)


def is_permitted(run_dir: Path, fence: int, attempt: int) -> bool:
    """Return whether the workers of an attempt may commit, as far as that attempt is concerned."""
    try:
        _permit(run_dir, fence, attempt).open("rb").close()
    except FileNotFoundError:
        return False
    return True


def newest(run_dir: Path) -> int:
    """Return the newest number that was claimed, 0 where none was."""
    try:
        names = [made.name for made in (run_dir / CLAIMS).iterdir()]
    except FileNotFoundError:
        return 0
    return max((int(name) for name in names if name.isdigit()), default=0)


def read(run_dir: Path) -> bytes:
    """Return what `lease.json` says.

    Raises:
        FileNotFoundError: there is none.
    """
    return read_file(run_dir / LEASE)


@contextmanager
def _written(run_dir: Path, text: bytes) -> Iterator[Path]:
    """Give a file of what `lease.json` is to say, which is gone after the `with` block."""
    # Whole or not at all, but not synced: after a crash of the machine a claim is enough.
    temporary = run_dir / f".{LEASE}.{uuid.uuid4().hex}"
    try:
        temporary.write_bytes(text)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _permit(run_dir: Path, fence: int, attempt: int) -> Path:
    return run_dir / CLAIMS / f"{fence}.{attempt}"
