"""What the trials of a search have at the store: a place of each, below the search's.

    <run>/trials/<trial>[/<n>]/lease/<fence>.<attempt>     an attempt at it has begun
    <run>/trials/<trial>[/<n>]/begun/<generation>.json     which checkpoints of earlier ones count
    <run>/trials/<trial>[/<n>]/checkpoints/<generation>/   as a run's
    <run>/trials/<trial>[/<n>]/live/<generation>/          why it ends, for the driver and the peers
    <run>/files/<generation>/trials/<trial>/logs/          of what failed
    <run>/live/<fence>-000/trials/<trial>/logs/beat-...    what other hosts' processes do
    <run>/live/<fence>-000/slots/<slot>/<reply>            what the driver answers them

A trial that has taken over another's state begins anew in a place of its own, `<n>`: what it had
before counts no more, without anything having to be renamed or removed.
"""

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, final

from distrain.background import in_background
from distrain.errors import DistrainError
from distrain.object_store.checkpoints import copy_checkpoint, kept_steps
from distrain.object_store.claims import is_held
from distrain.object_store.files import TRIALS, put_log
from distrain.object_store.generations import LIVE, Generation, read_seal
from distrain.object_store.link import Link, linked
from distrain.object_store.live import LOOK_S, STOP_FILE
from distrain.object_store.parts import copy_parts
from distrain.object_store.place import Place
from distrain.object_store.work_folder import work_folder
from distrain.object_store.work_link import ForWorkers

_SLOTS: Final = "slots/"
_LOGS: Final = "rank-*.txt"

logger = logging.getLogger(__name__)


def trial_place(search: Place, name: str, num_taken: int) -> Place:
    """Return the place of a trial.

    Args:
        search: the search's.
        name: of the trial's folder.
        num_taken: how often the trial has taken over another's state.
    """
    own = search.below(f"{TRIALS}{name}")
    return own.below(str(num_taken)) if num_taken else own


@contextmanager
def search_folder(told: Mapping[str, Any]) -> Iterator["SearchFolder"]:
    """Give the search's folder on the host of one of its processes, for the length of a block.

    Args:
        told: what `for_workers` gave.
    """
    ours = ForWorkers(**told)
    run = Place.parse(ours.uri)
    with work_folder(ours.token, is_driver=False) as (storage, is_driver_here):
        folder = storage / run.parent.name / run.name
        folder.mkdir(parents=True, exist_ok=True)
        link = Link(folder, run, is_apart=not is_driver_here)
        link.generation = Generation(ours.fence)
        found = SearchFolder(link)
        if not link.is_apart:
            with linked(link):
                yield found
            return
        (folder / STOP_FILE).unlink(missing_ok=True)
        with linked(link), in_background(found.keep_in_touch, "distrain-store"):
            yield found


@final
class SearchFolder:
    """A search's folder on a host where one of its processes works; the driver may not.

    Args:
        link: the search's.

    Attributes:
        told: paths below the folder, of files that are told to the driver again and again.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.told: set[str] = set()
        self._spent: set[str] = set()

    def keep_in_touch(self, has_ended: threading.Event) -> None:
        """Tell the driver, on another host, what goes on, and look whether it says stop."""
        is_failing = False
        while not has_ended.wait(LOOK_S):
            try:
                self._look()
                is_failing = False
            except OSError as fault:
                if not is_failing:
                    logger.warning("%s does not answer for now: %s", self.link.place.uri, fault)
                is_failing = True

    def tell_no_more(self, name: str) -> None:
        """Tell the driver of a file no more; what it was told of it is removed, soon."""
        self.told.discard(name)
        self._spent.add(f"{LIVE}{self.link.writer}/{name}")

    def read_reply(self, slot: str, name: str) -> bytes:
        """Return what the driver has left for a slot, where it is removed, soon.

        Raises:
            FileNotFoundError: nothing.
            OSError: the store cannot tell.
        """
        reply = _reply(self.link, slot, name)
        content = self.link.patiently(lambda: self.link.run.get(reply))
        self._spent.add(reply)
        return content

    def _look(self) -> None:
        own = f"{LIVE}{self.link.writer}/"
        for name in tuple(self.told):
            with suppress(FileNotFoundError):  # the trial has ended at this moment
                self.link.run.put(own + name, (self.link.folder / name).read_bytes())
        # Else what the driver lists every 2 s would grow with each trial and reply.
        spent = set(self._spent) - {own + name for name in tuple(self.told)}
        self.link.run.remove(spent)
        self._spent -= spent
        if self.link.run.entries(own + STOP_FILE):
            (self.link.folder / STOP_FILE).touch()


def put_reply(link: Link, slot: str, name: str, content: bytes) -> None:
    """Leave for a slot on another host what it does now; return when the store has it.

    Raises:
        OSError: the store does not take it.
    """
    link.patiently(lambda: link.run.put(_reply(link, slot, name), content))


def put_trial_logs(link: Link, folder: Path) -> None:
    """Put the logs of a trial that has failed, among the search's files.

    Args:
        link: the search's.
        folder: the trial's, on this host.

    Raises:
        OSError: a file cannot be read, or the store does not take it now.
    """
    for path in sorted((folder / "logs").glob(_LOGS)):
        put_log(link, f"{TRIALS}{folder.name}/logs/{path.name}", path)


def take_state(source: Place, step: int | None, target: Link) -> None:
    """Give a run, or a trial, the states of a trial, and its ledger, unless it has one of its own.

    Where the state is not there any more, nothing is done: training comes to the same by itself.

    Args:
        source: the trial's place; nobody trains it.
        step: of the checkpoint; None: all of them, since the newest may be damaged.
        target: who takes it over, with a generation.

    Raises:
        OSError: the store does not take it now.
    """
    if kept_steps(target):
        return
    link = Link(target.folder, source)  # of which the objects alone are asked for
    link.seal = read_seal(link.run)
    steps = kept_steps(link) if step is None else [step]
    if steps:
        copy_parts(link, target.run, target.writer)
    for one in steps:
        copy_checkpoint(link, one, target.run, target.writer)


@final
class Remover:
    """Removes, in a thread of its own, what trials have at the store that can no longer win.

    Only who still drives the search does: what another relies on stays. Call order: `start`, `add`,
    `close`.

    Args:
        link: the search's.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        self._has_ended = False
        self._thread = threading.Thread(target=self._work, name="distrain-remover", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, name: str) -> None:
        """Have a trial's place removed, by the name of its folder; soon."""
        with self._lock:
            self._names.add(name)
        self._has_news.set()

    def close(self) -> None:
        """Wait until what was added is removed."""
        self._has_ended = True
        self._has_news.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._has_ended or self._names:
            self._has_news.wait()
            self._has_news.clear()
            with self._lock:
                names, self._names = self._names, set()
            try:
                remove_trials(self._link, names)
            except (
                OSError,
                DistrainError,
            ) as fault:  # at the end of the search all of it is looked at again
                logger.warning("what trials have left is not removed: %s", fault)


def remove_trials(link: Link, names: Collection[str]) -> None:
    """Remove the places of trials, where the search is still this process's.

    Args:
        link: the search's.
        names: of the trials' folders.

    Raises:
        OSError: the store does not take it now; some of it may be gone.
    """
    if not names or not is_held(link, link.writer.fence, None):
        return
    for name in names:
        link.run.remove(entry.name for entry in link.run.entries(f"{TRIALS}{name}/"))


def trials_there(link: Link) -> set[str]:
    """Return the names of the trials that have something at the store.

    Raises:
        OSError: the store cannot tell now.
    """
    return set(link.run.folders(TRIALS))


def _reply(link: Link, slot: str, name: str) -> str:
    return f"{LIVE}{Generation(link.writer.fence)}/{_SLOTS}{slot}/{name}"
