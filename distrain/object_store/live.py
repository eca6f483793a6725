"""What goes on beside the work of a process in a linked folder, until its block ends.

    the driver, every 2 s at first and every 10 s later: puts what its journal and files have gained
    the driver, every 2 s: takes in what workers of other hosts tell, and tells them to stop
    a worker: puts what its journal has gained; on another host than the driver's, also its beat and
        its log, and looks whether it is told to stop

Nothing here is relied on: what has to be there is put by who commits it. A store that is away is
told once, in the log, and tried again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, final

from distrain.background import in_background
from distrain.object_store.files import TRIALS, put_files
from distrain.object_store.generations import LIVE, Generation
from distrain.object_store.link import Link
from distrain.object_store.pieces import put_own_lines, put_rest, take_in_news

STOP_FILE: Final = ".stop"
LOOK_S: Final = 2.0
PUT_S: Final = 2.0
LONGEST_PUT_S: Final = 10.0
LOG_S: Final = 15.0
LOG_BYTES: Final = 8 << 20
_LOGS: Final = "logs/"
_OUT: Final = "out/"
# Of a worker's folder, what goes its own way, or is of no use elsewhere.
_OWN: Final = ("journal/", "ledger/", "logs/", "checkpoints/step-", "checkpoints/damaged-", ".")

logger = logging.getLogger(__name__)


@contextmanager
def driving(link: Link) -> Iterator[None]:
    """Keep the store and the driver's folder in step, for the length of a `with` block."""
    started, heard = time.monotonic(), Heard(link)
    next_put = 0.0

    def look() -> None:
        nonlocal next_put
        if link.generation is None:
            return
        now = time.monotonic()
        if link.attempt or link.has_trials:
            heard.take_in()
        if link.attempt:
            take_in_news(link)
        if now >= next_put:
            next_put = now + min(max(PUT_S, (now - started) / 10), LONGEST_PUT_S)
            put_own_lines(link)
            put_files(link)

    with in_background(lambda ended: _keep(look, ended, link), "distrain-store"):
        yield
    if link.attempt:
        forget_words(link)


def forget_words(link: Link) -> None:
    """Remove what hosts have told one another, which is of no use any more, where that can be.

    That of earlier drivers, too, who may have been killed.
    """
    with suppress(OSError):
        told = [(Generation.of(entry.name), entry.name) for entry in link.run.entries(LIVE)]
        ours = link.writer.fence
        link.run.remove(name for of, name in told if of is not None and of.fence <= ours)


@contextmanager
def working(link: Link, rank: int) -> Iterator[None]:
    """Keep the store and a worker's folder in step, for the length of a `with` block."""
    next_log = time.monotonic() + LOG_S

    def look() -> None:
        nonlocal next_log
        put_own_lines(link)
        if not link.is_apart:
            return
        put_word(link, f"{_LOGS}beat-rank-{rank}")
        if time.monotonic() >= next_log:
            next_log = time.monotonic() + LOG_S
            put_word(link, f"{_LOGS}rank-{rank}.txt")
        if f"{LIVE}{link.writer}/{STOP_FILE}" in _names(link):
            (link.folder / STOP_FILE).touch()

    with in_background(lambda ended: _keep(look, ended, link), "distrain-store"):
        yield


def put_last_words(link: Link, rank: int) -> None:
    """Put what a worker of another host leaves behind: its failure and its log.

    Raises:
        OSError: the store does not take it now.
    """
    if link.is_apart:
        for name in (f"failure-rank-{rank}.json", f"beat-rank-{rank}", f"rank-{rank}.txt"):
            put_word(link, f"{_LOGS}{name}")


def put_word(link: Link, name: str) -> None:
    """Put a file of the folder, where it is there, or its end, for those on other hosts to read.

    Raises:
        OSError: it cannot be read, or the store does not take it now.
    """
    path = link.folder / name
    if path.is_file():
        content = path.read_bytes()
        link.run.put(f"{LIVE}{link.writer}/{name}", content[-LOG_BYTES:])


def take_in_words(link: Link, below: str) -> None:
    """Take in what others of an attempt at a trial have put of names that begin with a text.

    Raises:
        OSError: the store cannot give it now, or the disk takes nothing.
    """
    own = f"{LIVE}{link.writer}/"
    for entry in link.run.entries(own + below):
        path = link.folder / entry.name.removeprefix(own)
        if not path.exists():
            link.run.get_file(entry.name, path)


def put_outcome(link: Link) -> None:
    """Put what rank zero on another host has made for the driver: weights, outputs, traces.

    Raises:
        OSError: the store does not take it now.
    """
    if not link.is_apart:
        return
    for path in sorted(link.folder.rglob("*")):
        name = path.relative_to(link.folder).as_posix()
        is_own = name.startswith(_OWN)
        if path.is_file() and not is_own and not path.name.startswith("."):
            link.run.put_file(f"{LIVE}{link.writer}/{_OUT}{name}", path)


def take_in_outcome(link: Link) -> None:
    """Take in what the workers of an attempt that has ended have left, on whatever host.

    Raises:
        OSError: the store cannot give it now.
    """
    prefix = f"{LIVE}{link.of_workers}/{_OUT}"
    for entry in link.run.entries(prefix):
        link.run.get_file(entry.name, link.folder / entry.name.removeprefix(prefix))
    Heard(link).take_in()
    take_in_news(link)
    put_rest(link)  # a worker of this host that was killed has put nothing for 2 s


@final
class Heard:
    """What workers of other hosts have told, taken in where it is new.

    Args:
        link: the driver's.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._etags: dict[str, str] = {}

    def take_in(self) -> None:
        """Write their beats, failures and logs to where those of this host are; tell of a stop."""
        link = self._link
        own = f"{LIVE}{link.of_workers}/"
        entries = {entry.name.removeprefix(own): entry for entry in link.run.entries(own)}
        for name, entry in entries.items():
            if name.startswith((_LOGS, TRIALS)) and self._etags.get(entry.name) != entry.etag:
                path = link.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # who told it has ended at this moment
                    path.write_bytes(link.run.get(entry.name))
                    self._etags[entry.name] = entry.etag
        there = {entry.name for entry in entries.values()}
        self._etags = {name: etag for name, etag in self._etags.items() if name in there}
        if STOP_FILE not in entries and (link.folder / STOP_FILE).exists():
            link.run.put(f"{own}{STOP_FILE}", b"")


def _names(link: Link) -> set[str]:
    return {entry.name for entry in link.run.entries(f"{LIVE}{link.writer}/{STOP_FILE}")}


def _keep(look: Callable[[], None], has_ended: threading.Event, link: Link) -> None:
    is_failing = False
    while not has_ended.wait(LOOK_S):
        try:
            look()
            is_failing = False
        except OSError as fault:
            if not is_failing:
                logger.warning("%s and this host differ for now: %s", link.place.uri, fault)
            is_failing = True
