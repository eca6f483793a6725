"""A run's folder on this host, and the object store that all of it is kept in.

Whoever works in such a folder, the driver or a worker, has it linked in its process. Who writes
something that a run relies on asks `link_of` for it, and puts it into the store before it counts as
written. A run whose folder is shared by its hosts has no link, and nothing here concerns it.
"""

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, final

from distrain.object_store.bucket import Bucket
from distrain.object_store.generations import (
    CHECKPOINTS,
    FILES,
    JOURNAL,
    LEDGER,
    NOTHING_SEALED,
    Generation,
    Seal,
)
from distrain.object_store.place import Place

WORKER_PATIENCE_S: Final = 20.0
DRIVER_PATIENCE_S: Final = 60.0
PAUSE_S: Final = 2.0

_OF_ALL: Final = (CHECKPOINTS, JOURNAL, LEDGER)

T = TypeVar("T")
logger = logging.getLogger(__name__)

_LINKS: Final[dict[Path, "Link"]] = {}


@final
@dataclass(frozen=True)
class Sent:
    """What the store has of a file.

    Attributes:
        look: inode, size and time of change that it had here.
        digest: SHA-256 of its content.
        etag: the object's, where it was fetched; empty: it was put.
    """

    look: tuple[int, int, int]
    digest: str
    etag: str = ""


@final
class Link:
    """What this process knows of the store that a run is kept in; safe to use from any thread.

    Attributes:
        folder: the run's folder on this host.
        place: of the run at the store.
        run: the objects of the run.
        hurried: the same, for who has to know within seconds.
        generation: who writes here; None: nobody does yet.
        seal: which objects of earlier generations count.
        is_apart: whether this host is not the driver's, which sees nothing of the folder.
        attempt: the driver's last one, 0 before it.
        has_trials: whether it is of a search whose trials run.
        durable: how many bytes of each of the journal's segments the store has.
        sent: what the store has of the folder's other files, by path.
        own_segments: those of the journal that this process writes.
        patience_s: how long something that must be is tried again at a store that is away.
        sending: held by who sends, or takes in, what the others would too.
    """

    def __init__(self, folder: Path, place: Place, *, is_apart: bool = False) -> None:
        self.folder = folder
        self.place = place
        self.run = Bucket(place)
        self.hurried = Bucket(place, is_hurried=True)
        self.generation: Generation | None = None
        self.seal: Seal = NOTHING_SEALED
        self.is_apart = is_apart
        self.attempt = 0
        self.has_trials = False
        self.durable: dict[str, int] = {}
        self.sent: dict[str, Sent] = {}
        self.own_segments: list[Path] = []
        self.patience_s = WORKER_PATIENCE_S
        self.sending = threading.RLock()

    def patiently(self, do: Callable[[], T]) -> T:
        """Do something at the store again and again while it does not answer, for a while.

        Raises:
            OSError: it did not for that long.
        """
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                return do()
            except (FileNotFoundError, FileExistsError):
                raise
            except OSError as fault:
                is_taken_over = fault.errno == errno.ESTALE
                if is_taken_over or time.monotonic() + PAUSE_S > deadline:
                    raise
                logger.warning("%s; tried again", fault)
            time.sleep(PAUSE_S)

    @property
    def writer(self) -> Generation:
        """Return who writes here."""
        assert self.generation is not None, "nothing is written before the run's lease is taken"
        return self.generation

    @property
    def of_workers(self) -> Generation:
        """Return the generation of the attempt that this process drives, or works for."""
        own = self.writer
        return own if own.attempt else Generation(own.fence, self.attempt)

    @property
    def storage(self) -> Place:
        """Return the place that runs are kept in."""
        return self.place.parent.parent


@contextmanager
def linked(link: Link) -> Iterator[Link]:
    """Let everything in this process find the link by the run's folder, within a `with` block."""
    before = _LINKS.get(link.folder)
    _LINKS[link.folder] = link
    try:
        yield link
    finally:
        del _LINKS[link.folder]
        if before is not None:
            _LINKS[link.folder] = before


def link_of(run_dir: Path) -> Link | None:
    """Return the link of a run's folder; None: the folder itself is where the run is kept."""
    return _LINKS.get(run_dir) if _LINKS else None


def is_linked(place: Place) -> bool:
    """Return whether this process works on what lies at a place."""
    return any(link.place == place for link in list(_LINKS.values()))


def shown(path: Path) -> str:
    """Return a path as a person finds it again: at the store, where it is below a linked folder.

    Of what several generations may have written, as checkpoints, `*` stands for which. A trial has
    these at a place of its own; its other files are among those of its search.
    """
    # Other threads link trials meanwhile.
    above = [one for one in list(_LINKS.items()) if path.is_relative_to(one[0])]
    if not above:
        return str(path)
    above.sort(key=lambda one: len(one[0].parts))
    (outer, link), (folder, own) = above[0], above[-1]
    if path == folder:
        return own.place.uri
    kind, _, rest = path.relative_to(folder).as_posix().partition("/")
    if f"{kind}/" in _OF_ALL:
        return own.place.below(f"{kind}/*/{rest}".rstrip("/*")).uri
    name = path.relative_to(outer).as_posix()
    of = "*" if link.generation is None else str(Generation(link.writer.fence))
    return link.place.below(f"{FILES}{of}/{name}").uri
