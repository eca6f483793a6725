"""The run that `submit resume` names, looked at from here, where that can be done.

In: what names it, and where runs are kept. Out: how it is named on the cluster, and its folder.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from distrain.errors import ConfigError
from distrain.object_store.fitness import why_not_asked
from distrain.object_store.place import Place, remote_text
from distrain.object_store.work_link import reading_folder
from distrain.resumed import find_resumed, resumed_place
from distrain.run_folder import CONFIG, RESULT, STARTED


@final
@dataclass(frozen=True)
class SeenRun:
    """A run that can be looked at from here.

    Attributes:
        name: its folder or its URI, by which it is found from anywhere.
        folder: its folder; of one at a store one that holds what it was started with.
    """

    name: str
    folder: Path


@final
@dataclass(frozen=True)
class UnseenRun:
    """A run that cannot be looked at from here.

    Attributes:
        why: in words.
    """

    why: str


@contextmanager
def seen_run(
    named: Sequence[str], storage: Path, *, is_last: bool, is_here: bool
) -> Iterator[SeenRun | UnseenRun]:
    """Give the run that is meant.

    Args:
        named: as for `find_resumed`, or a run's URI.
        storage: the folder that runs are kept in, or its URI.
        is_last: as for `find_resumed`.
        is_here: whether the cluster is this very machine.

    Raises:
        ConfigError: there is no such run, or not one was named.
        StorageError: a store that let this process in does not answer any more.
    """
    stores = _stores(named, storage)
    whys = [why for why in map(why_not_asked, stores) if why is not None]
    if whys:
        yield UnseenRun(whys[0])
        return
    place = resumed_place(named, is_last=is_last, storage=storage)
    if place is not None:
        with reading_folder(place, (CONFIG, STARTED, RESULT)) as run_dir:
            yield SeenRun(place.uri, run_dir)
    elif is_here or stores or storage.is_dir() or any(Path(name).exists() for name in named):
        run_dir = find_resumed(named, is_last=is_last, storage=storage)
        yield SeenRun(str(run_dir), run_dir)
    else:
        yield UnseenRun("its folder is not on this machine")


def check_absolute(named: Sequence[str], storage: Path | None) -> None:
    """Refuse what names a run that cannot be seen from here, and means nothing elsewhere.

    Args:
        named: the run's folder, name, URI or MLflow id; or nothing.
        storage: the option's; None: it was not given.

    Raises:
        ConfigError: it is relative.
    """
    places: list[Path | str] = [*named, *([storage] if storage is not None else [])]
    if not any(Path(place).is_absolute() or remote_text(place) for place in places):
        raise ConfigError(
            "the run cannot be seen from here, and a relative path means nothing to a job",
            where=" ".join(named) or "--last",
            expected="the run's folder as the cluster sees it, its URI, or an absolute --storage",
            mend="For example: distrain submit resume /mnt/shared/runs/NAME/RUN",
        )


def _stores(named: Sequence[str], storage: Path) -> list[Place]:
    """Return the places of all storage that is named and is a store."""
    runs = [Place.parse(uri).parent.parent for uri in map(remote_text, named) if uri is not None]
    uri = remote_text(storage)
    return runs if uri is None else [*runs, Place.parse(uri)]
