"""The link of a process to a run at a store: the driver's for a command, a worker's for an attempt.

In: the run's URI. Out: the run's folder on this host, linked for the length of a `with` block. Who
only looks at a run gets one, too, from which nothing is put.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from distrain.object_store.files import fetch_some, take_in_files
from distrain.object_store.generations import Generation, read_seal, seal_of
from distrain.object_store.link import DRIVER_PATIENCE_S, Link, linked
from distrain.object_store.live import STOP_FILE, driving, working
from distrain.object_store.pieces import take_in
from distrain.object_store.place import Place
from distrain.object_store.runs import cannot_tell
from distrain.object_store.work_folder import new_token, work_folder


@final
@dataclass(frozen=True)
class ForWorkers:
    """What workers need to link the run on their hosts; plain values.

    Attributes:
        uri: of the run.
        token: of the driver's folder.
        fence: the driver's number.
        attempt: whose workers they are.
    """

    uri: str
    token: str
    fence: int
    attempt: int


@contextmanager
def driver_folder(run: Place, *, is_new: bool) -> Iterator[Path]:
    """Give the run's folder on the driver's host; what the store has is in it.

    Args:
        run: the run's place, `<storage>/<name>/<run>`.
        is_new: whether nothing is there yet, and nobody is asked.

    Raises:
        StorageError: the store cannot give it now.
    """
    with work_folder(new_token(), is_driver=True) as (storage, _):
        folder = storage / run.parent.name / run.name
        folder.mkdir(parents=True)
        link = Link(folder, run)
        link.patience_s = DRIVER_PATIENCE_S
        if not is_new:
            _take_in_all(link)
        with linked(link), driving(link):
            yield folder


@contextmanager
def reading_folder(run: Place, only: Collection[str] | None = None) -> Iterator[Path]:
    """Give a folder with what the store has of a run, to read in; what is written there is lost.

    Args:
        run: the run's place, `<storage>/<name>/<run>`.
        only: paths of the files that are wanted, of which those that are not there are left out;
            None: all, and the journal, but no checkpoints, logs or parts of the ledger.

    Raises:
        StorageError: the store cannot give it now.
    """
    with work_folder(new_token(), is_driver=True) as (storage, _):
        folder = storage / run.parent.name / run.name
        folder.mkdir(parents=True)
        link = Link(folder, run)
        if only is None:
            _take_in_all(link)
        else:
            try:
                fetch_some(link.run, only, folder)
            except OSError as fault:
                raise cannot_tell(run, fault) from fault
        with linked(link):
            yield folder


def _take_in_all(link: Link) -> None:
    """Fetch what the store has of a run, as far as a driver begins with it.

    Raises:
        StorageError: the store cannot give it now.
    """
    try:
        link.seal = read_seal(link.run)
        take_in_files(link)
        take_in(link)
    except OSError as fault:
        raise cannot_tell(link.place, fault) from fault


def for_workers(link: Link, attempt: int) -> dict[str, Any]:
    """Return what the workers of an attempt are told, as `worker_folder` takes it."""
    return vars(
        ForWorkers(link.place.uri, link.folder.parents[2].name, link.writer.fence, attempt)
    ).copy()


@contextmanager
def worker_folder(told: Mapping[str, Any], rank: int) -> Iterator[Path]:
    """Give the run's folder on a worker's host, which may be the driver's.

    Args:
        told: what `for_workers` gave.
        rank: the worker's.

    Raises:
        OSError: the store cannot tell now, or the disk takes nothing.
    """
    ours = ForWorkers(**told)
    run, generation = Place.parse(ours.uri), Generation(ours.fence, ours.attempt)
    with work_folder(ours.token, is_driver=False) as (storage, is_driver_here):
        folder = storage / run.parent.name / run.name
        folder.mkdir(parents=True, exist_ok=True)
        link = Link(folder, run, is_apart=not is_driver_here)
        link.generation = generation
        link.seal = link.patiently(lambda: seal_of(link.run, generation))
        if link.is_apart:  # of an earlier attempt; what is asked for still comes again
            (folder / STOP_FILE).unlink(missing_ok=True)
        if rank == 0:
            link.patiently(lambda: take_in(link))
        with linked(link), working(link, rank):
            yield folder
