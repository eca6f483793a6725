"""Files that somebody else may have written: read within bounds, or told.

A run's folder, a checkpoint, a packaged model and a prepared dataset may come from anywhere. What
one says of itself is believed no further than it can be checked before anything is done by it: a
name leads to no other folder, a length fills no memory, a link is removed and not what it leads to.
"""

import json
import os
import re
import shutil
import stat
from pathlib import Path, PurePosixPath
from typing import Any, Final

MAX_BYTES: Final = 256 << 20
"""Of a file that is read whole; a manifest of a million shards has half of it."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a small file.

    Args:
        path: the file.
        max_bytes: how many it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or no file: a pipe or a device would be read without end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file")
    if status.st_size > max_bytes:
        raise ValueError(f"it has {status.st_size:,} bytes, and {max_bytes:,} at most are read")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """Return what a small file of JSON holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, no file, or no JSON.
    """
    return from_json(read_file(path))


def from_json(content: bytes | str) -> Any:
    """Return what JSON holds.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError as fault:
        raise ValueError("it is nested too deeply") from fault


def is_plain_name(name: object) -> bool:
    """Return whether something is the name of a file in a folder, and leads nowhere else."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


def is_inner_name(name: object) -> bool:
    """Return whether something is a relative path that leads to no folder above."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def is_within(path: Path, folder: Path) -> bool:
    """Return whether a path leads to something below a folder, once links are followed."""
    # Not `resolve`, which raises where a link leads back to itself, before Python 3.13.
    inner, outer = (Path(os.path.realpath(place)) for place in (path, folder))
    return inner.is_relative_to(outer)


def is_count(value: object) -> bool:
    """Return whether something is a whole number of things or bytes, as a file may have them."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link; never what a link leads to.

    Raises:
        OSError: it is not there, or cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
