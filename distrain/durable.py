"""Files that appear whole or not at all, and are still there when the machine has failed."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, syncs_folder: bool = True) -> Iterator[Path]:
    """Give a path to write to; at the end of the `with` block it takes the place of `path`.

    Temporary name in the same folder, fsync, rename, fsync of the folder. Where the block raises,
    what was at `path` stays, and nothing else is left.

    Args:
        path: the file; its folder is made where it is missing.
        syncs_folder: whether the file's name is made durable here; else the caller does it, once
            for many files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Containers that share a folder may have processes of one number.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if syncs_folder:
        sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Create or replace a file, whole or not at all, and make it durable.

    Args:
        path: the file; its folder is made where it is missing.
        content: all of it.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    _sync(path)


def sync_folder(path: Path) -> None:
    """Make the names within a folder durable: what was made, renamed or removed there."""
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
