"""The files of the user's modules and packages: one listing to look through, hash, keep and copy.

Links are followed, as imports follow them: what lies behind one is saved and loaded like the rest.
Standard library only.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# A package's folder may hold data beside its sources, which the record of each run is no place for.
MAX_OTHER_FILE_BYTES: Final = 1 << 20
_BYTE_CODE: Final = "__pycache__"


def source_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Give the files of a module or package in a fixed order; not hidden ones nor Python's own.

    Args:
        root: a file, or a folder with files below.

    Returns:
        Names relative to the folder that it lies in, with `/` between, and paths.
    """
    if root.is_dir():
        yield from _files_below(root, root.name, frozenset())
    else:
        yield root.name, root


def is_too_large(path: Path) -> bool:
    """Return whether a file is not kept with each run; with a model, which may need it, it is."""
    return path.suffix != ".py" and path.stat().st_size > MAX_OTHER_FILE_BYTES


def _files_below(
    folder: Path, name: str, above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, Path]]:
    """Give a folder's own files, then those of the folders in it.

    Args:
        folder: any folder.
        name: what its files' names begin with.
        above: device and inode of each folder that leads here. A link back to one has no end.
    """
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in above or not os.access(folder, os.R_OK | os.X_OK):
        return
    folders = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", _BYTE_CODE)):
            continue
        if path.is_dir():
            folders.append(path)
        # A link to nowhere, or a pipe, has nothing to be read.
        elif path.suffix != ".pyc" and path.is_file():
            yield f"{name}/{path.name}", path
    for path in folders:
        yield from _files_below(path, f"{name}/{path.name}", above | {here})
