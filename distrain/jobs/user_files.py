"""The user's own code that goes along with a job: what a `target:` needs, or a whole folder."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from distrain.config.environment import expand_env
from distrain.config.settings import Settings
from distrain.config.targets import user_targets
from distrain.errors import ConfigError, ModelError
from distrain.jobs.files import folder_files, module_files
from distrain.jobs.package import CODE
from distrain.track.user_code import find_user_code, is_found


def code_files(
    settings: Settings, import_paths: Sequence[str], *, is_search: bool
) -> dict[str, Path | bytes]:
    """Return the user's files by their names in the package.

    That is the folder `cluster.working_dir` as a whole, or the modules and packages of all import
    paths in the configuration, with those beside them that they import.

    Args:
        settings: what the job does.
        import_paths: folders that modules are looked for in.
        is_search: whether it is a search, which calls constraints, too.

    Raises:
        ConfigError: there is no such folder, or module; or an ignore file names what is needed.
    """
    if settings.cluster.working_dir is not None:
        return {f"{CODE}/{name}": path for name, path in _whole_folder(settings).items()}
    found: dict[str, Path | bytes] = {}
    with _importable(import_paths):
        for key, target in user_targets(settings, is_search=is_search):
            for name, path in _files_of(key, target).items():
                found[f"{CODE}/{name}"] = path
    return found


def _whole_folder(settings: Settings) -> dict[str, Path]:
    folder = Path(expand_env(str(settings.cluster.working_dir)))
    if not folder.is_dir():
        raise ConfigError(
            "there is no such folder",
            where=f"cluster.working_dir = {folder}",
            expected="a folder with the job's code",
            mend="Name it, or leave it out: then the code that the configuration names goes along",
        )
    return folder_files(folder)


def _files_of(key: str, target: str) -> dict[str, Path]:
    top = target.partition(":")[0].partition(".")[0]
    if not is_found(top):
        raise ModelError(
            f"{target!r}: there is no module {top!r}",
            where=key,
            expected="a module beside the configuration, in the working directory, or installed",
            mend="Check the name, or submit from the folder that it lies in",
        )
    kept: dict[str, Path] = {}
    for root in find_user_code(target):
        files, left_out = module_files(root)
        sources = [name for name in left_out if name.endswith(".py")]
        if sources and root.stem == top:
            raise ConfigError(
                f"{target!r} needs {sources[0]}, which an ignore file keeps out of the job",
                where=key,
                expected="code that .gitignore and .rayignore do not name",
                mend=f"Take it out there, for example by a line !{Path(sources[0]).name}",
            )
        kept |= files
    return kept


@contextmanager
def _importable(folders: Sequence[str]) -> Iterator[None]:
    """Let modules be found in folders first; nothing is imported."""
    before = list(sys.path)
    sys.path[:] = [*folders, *(folder for folder in before if folder not in folders)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
