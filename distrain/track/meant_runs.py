"""The runs that `sync` is about, in folders or at a store, each opened when its turn comes.

In: what was named, and the storage. Out: for each run how its folder is had. Of one at a store it
is fetched only where something may be left to ship: its result tells whether all of it was.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

from distrain.object_store.place import Place, remote_text
from distrain.object_store.runs import cannot_tell, fetch_summaries, named_run, run_places
from distrain.object_store.work_link import driver_folder
from distrain.run_folder import JOURNAL, RESULT, STARTED
from distrain.track.runs import find_run_dir, list_runs, result_of, won_by
from distrain.track.watermark import WATERMARK

_SUMMARY: Final = (STARTED, RESULT, f"{JOURNAL}/{WATERMARK}")


@final
@dataclass(frozen=True)
class MeantRun:
    """A run that is meant.

    Attributes:
        summary: its folder; of one at a store a folder with a few of its files, to look at.
        opened: gives the folder to work in, for a `with` block.
        is_shipped: whether its result says that all of it was shipped; asked at a store alone.
        uri: where an object store keeps it; None: its folder is where it is kept.
    """

    summary: Path
    opened: Callable[[], AbstractContextManager[Path]]
    is_shipped: bool = False
    uri: str | None = None


@contextmanager
def meant_runs(named: Sequence[str], storage: Path) -> Iterator[list[MeantRun]]:
    """Give the runs that are meant, for the length of a `with` block.

    A search comes first: its trials' runs are made with more than its winner's journal tells.

    Args:
        named: runs' folders, names, URIs or MLflow ids; none: all below the storage.
        storage: the folder that runs are kept in, or its URI.

    Raises:
        ConfigError: there is no such run, folder or bucket.
        StorageError: the store does not answer.
    """
    places, folders = _found(named, storage)
    with tempfile.TemporaryDirectory(prefix="distrain-runs-") as temporary:
        meant = [MeantRun(folder, partial(_as_it_is, folder)) for folder in folders]
        meant += _at_store(places, Path(temporary))
        yield sorted(meant, key=lambda run: won_by(run.summary) is not None)


def _found(named: Sequence[str], storage: Path) -> tuple[list[Place], list[Path]]:
    """Return where the runs lie at a store, and the folders of the others."""
    uri = remote_text(storage)
    if not named and uri is not None:
        return run_places(Place.parse(uri)), []
    if not named:
        return [], [Path(run.run_dir) for run in list_runs(storage)]
    at_store = {name: named_run(name, storage) for name in named}
    places = [place for place in at_store.values() if place is not None]
    return places, [find_run_dir(name, storage) for name in named if at_store[name] is None]


def _as_it_is(folder: Path) -> AbstractContextManager[Path]:
    return nullcontext(folder)


def _at_store(places: list[Place], temporary: Path) -> list[MeantRun]:
    if not places:
        return []
    try:
        summaries = fetch_summaries(places, temporary, _SUMMARY)
    except OSError as fault:
        raise cannot_tell(places[0].parent.parent, fault) from fault
    return [
        MeantRun(
            summary,
            partial(driver_folder, place, is_new=False),
            is_shipped=result_of(summary).get("tracking") == "complete",
            uri=place.uri,
        )
        for place, summary in zip(places, summaries, strict=True)
    ]
