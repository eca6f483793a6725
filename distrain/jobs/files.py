"""Which files go along with a job: those of modules and folders that no ignore file names.

`.gitignore` and `.rayignore` count from the top of the git working tree down to the file, or, where
there is none, from the folder that is packed; the deepest pattern that fits decides, as in git.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from pathspec import GitIgnoreSpec

from distrain.track.source_files import source_files

IGNORE_FILES: Final = (".gitignore", ".rayignore")
NEVER: Final = (".git", ".venv", "venv", "__pycache__")
"""What Ray leaves out of a working directory, too."""


@final
class Ignoring:
    """The ignore files that count for what lies below a folder.

    Args:
        folder: what is packed.
    """

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        above = (place for place in (folder, *folder.parents) if (place / ".git").exists())
        self._top = next(above, folder)
        self._specs: dict[Path, list[GitIgnoreSpec]] = {}

    def ignores(self, path: Path) -> bool:
        """Return whether an ignore file names a path, or a folder that it is in."""
        path = path.absolute()
        inner = path.relative_to(self._top).parts
        places = [self._top.joinpath(*inner[: depth + 1]) for depth in range(len(inner))]
        return any(self._is_named(place) for place in places)

    def _is_named(self, path: Path) -> bool:
        slash = "/" if path.is_dir() else ""
        folder = path.parent
        while True:
            for spec in self._in(folder):
                found = spec.check_file(f"{path.relative_to(folder).as_posix()}{slash}").include
                if found is not None:
                    return found
            if folder == self._top:
                return False
            folder = folder.parent

    def _in(self, folder: Path) -> list[GitIgnoreSpec]:
        if folder not in self._specs:
            self._specs[folder] = [
                GitIgnoreSpec.from_lines((folder / name).read_text("utf-8").splitlines())
                for name in IGNORE_FILES
                if (folder / name).is_file()
            ]
        return self._specs[folder]


def module_files(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files of a module or package by name, and the names of those that are ignored.

    Args:
        root: a file, or a package's folder.
    """
    ignoring = Ignoring(root.parent)
    kept: dict[str, Path] = {}
    left_out = []
    for name, path in source_files(root):
        if ignoring.ignores(root.parent / name):
            left_out.append(name)
        else:
            kept[name] = path
    return kept, left_out


def folder_files(folder: Path) -> dict[str, Path]:
    """Return all files below a folder by name, hidden ones too, but for those that are ignored."""
    ignoring = Ignoring(folder)
    return {path.relative_to(folder).as_posix(): path for path in _walk(folder, ignoring)}


def _walk(folder: Path, ignoring: Ignoring) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        here = Path(parent)
        folders[:] = sorted(
            name for name in folders if name not in NEVER and not ignoring.ignores(here / name)
        )
        for name in sorted(names):
            path = here / name
            if path.is_file() and not ignoring.ignores(path):
                yield path
