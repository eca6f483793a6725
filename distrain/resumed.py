"""Finding a run that goes on: by its folder, its name, its id at MLflow, or as the newest.

In: what the command line names, and where runs are kept. Out: the run's folder; of a run at a
store, a folder that is linked to it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from distrain.errors import ConfigError
from distrain.object_store.place import Place, remote_text
from distrain.object_store.runs import named_run
from distrain.object_store.work_link import driver_folder
from distrain.track.runs import find_run_dir, list_runs

STORAGE_WORD: Final = "storage="


def find_resumed(
    named: Sequence[str], *, is_last: bool, storage: Path, overrides: Sequence[str] = ()
) -> Path:
    """Return the folder of the run that is meant.

    Args:
        named: a run's folder, its name, or its id at MLflow; with `is_last` the name of an
            experiment, or nothing.
        is_last: whether the newest run is meant, or the newest search; one that only makes another
            again is none, nor is the run that a search's winner became.
        storage: the folder that runs are kept in.
        overrides: `section.key=value`; a `storage` among them says where to look instead.

    Raises:
        ConfigError: there is no such run, or not one was named.
    """
    storage = [storage, *named_storages(overrides)][-1]
    meant = meant_run(named, is_last=is_last, storage=storage, command="resume")
    return Path(meant) if is_last else find_run_dir(meant, storage)


def meant_run(named: Sequence[str], *, is_last: bool, storage: Path, command: str) -> str:
    """Return the one run that was named, as it was; the newest by its folder or its URI.

    Args:
        named: as for `find_resumed`.
        is_last: likewise.
        storage: the folder that runs are kept in, or its URI.
        command: what was asked for, for the message.

    Raises:
        ConfigError: not one was named, or there is none.
    """
    if len(named) > 1 or not (named or is_last):
        raise ConfigError(
            f"{len(named)} runs were named: {', '.join(named)}" if named else "no run was named",
            where="command line",
            expected="a run's folder, its name, its MLflow id, or --last",
            mend=f"See `distrain runs`, then for example: distrain {command} --last",
        )
    return _newest(named, storage) if is_last else named[0]


def _newest(named: Sequence[str], storage: Path) -> str:
    """Return the folder, or the URI, of the newest run that can be gone on with by itself."""
    runs = [
        run
        for run in list_runs(storage)
        if (not named or run.name == named[0]) and not (run.reproduces or run.sweep)
    ]
    if not runs:
        raise ConfigError(
            f"there is no run of {named[0]!r}" if named else "there is no run",
            where=remote_text(storage) or str(storage),
            expected="a storage with runs",
            mend="Name another with --storage, or train first",
        )
    return runs[0].run_dir


@contextmanager
def resumed_folder(
    named: Sequence[str], *, is_last: bool, storage: Path, overrides: Sequence[str] = ()
) -> Iterator[Path]:
    """Give the folder of the run that is meant; of one at a store, a folder that is linked to it.

    Args:
        named: as for `find_resumed`, or a run's URI.
        is_last: as for `find_resumed`.
        storage: likewise; it may be a URI.
        overrides: likewise.

    Raises:
        ConfigError: there is no such run, or not one was named.
        StorageError: the store cannot be asked now.
    """
    place = resumed_place(named, is_last=is_last, storage=storage, overrides=overrides)
    if place is None:
        yield find_resumed(named, is_last=is_last, storage=storage, overrides=overrides)
        return
    with driver_folder(place, is_new=False) as run_dir:
        yield run_dir


def resumed_place(
    named: Sequence[str], *, is_last: bool, storage: Path, overrides: Sequence[str] = ()
) -> Place | None:
    """Return where the run that is meant lies at a store; None: it is looked for in folders.

    Args:
        named: as for `resumed_folder`.
        is_last: likewise.
        storage: likewise.
        overrides: likewise.

    Raises:
        ConfigError: there is no such run.
        StorageError: the store cannot be asked now.
    """
    storage = [storage, *named_storages(overrides)][-1]
    if is_last and len(named) < 2 and remote_text(storage) is not None:
        return Place.parse(_newest(named, storage))
    if len(named) == 1 and not is_last:
        return named_run(named[0], storage)
    return None


def named_storages(overrides: Sequence[str]) -> list[Path]:
    """Return the storages that overrides name, in their order."""
    return [Path(word[len(STORAGE_WORD) :]) for word in overrides if word.startswith(STORAGE_WORD)]
