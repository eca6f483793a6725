"""What lies in a folder, where a decision hangs on it: a listing that fails is never an empty one.

`Path.glob` hides faults: a refused listing up to Python 3.12, an entry that cannot be looked at in
3.12, any fault of the listing from 3.13 on. A mount that is away for a moment would then look like
a folder in which nothing is left.
"""

import contextlib
import os
from fnmatch import fnmatchcase
from pathlib import Path


def paths_in(folder: Path, pattern: str = "*") -> list[Path]:
    """Return what lies in a folder, sorted; nothing where there is no such folder.

    Args:
        folder: the folder.
        pattern: of names, as `fnmatch` has it; a name that begins with a dot is like any other.

    Raises:
        OSError: it cannot be listed now.
    """
    try:
        return sorted(path for path in folder.iterdir() if fnmatchcase(path.name, pattern))
    except FileNotFoundError:
        return []


def is_there(path: Path) -> bool:
    """Return whether there is something of a name.

    Raises:
        OSError: that cannot be told now.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def has_come(path: Path) -> bool:
    """Return whether there is something of a name by now, for who waits until there is.

    NFS remembers for up to a minute that there was nothing, whatever another host has made since.
    Who opens the folder is told whether it has changed (close-to-open, `man 5 nfs`); on a local
    disk that takes microseconds.

    Raises:
        OSError: that cannot be told now.
    """
    with contextlib.suppress(OSError):  # no folder, nothing in it; else the look itself fails
        os.close(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY))
    return is_there(path)
