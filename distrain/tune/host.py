"""Where a process of a search works, on its host, and what the others see of it.

In: what the driver tells of the search and of an attempt at a trial. Out: their folders here. Where
all hosts share the search's folder, they are those of the driver. Where an object store keeps it
(see `places.py`), they are this host's own, as `object_store/work_folder.py` has them, and linked.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, final

from distrain.object_store.claims import begin_alone
from distrain.object_store.files import TRIALS
from distrain.object_store.generations import Generation
from distrain.object_store.link import Link, link_of, linked
from distrain.object_store.live import put_word, take_in_words
from distrain.object_store.place import Place
from distrain.object_store.trials import (
    SearchFolder,
    put_reply,
    put_trial_logs,
    search_folder,
)
from distrain.object_store.work_link import for_workers
from distrain.train.beat import LOG_FOLDER
from distrain.train.checkpoint import FOLDER as CHECKPOINTS

JOB_FILE: Final = "job.json"
"""Below a trial's folder: what is trained."""


def attempt_at_store(folder: Path) -> dict[str, Any]:
    """Return what a slot is told of an attempt beside its work; nothing where folders are shared.

    Args:
        folder: the trial's, at the driver.
    """
    link = link_of(folder)
    if link is None:
        return {}
    return {
        "place": link.place.uri,
        "is_first": link.writer == Generation(1, 1),
        "job": json.loads((folder / JOB_FILE).read_text(encoding="utf-8")),
    }


def trial_at_store(folder: Path) -> dict[str, Any] | None:
    """Return what `folder_here` takes of an attempt at a trial; None: its folder is shared.

    Args:
        folder: the trial's, at the driver.
    """
    link = link_of(folder)
    if link is None:
        return None
    common = search_at_store(folder.parents[1])
    return {"common": common, "place": link.place.uri, "attempt": link.writer.attempt}


@contextmanager
def folder_here(folder: Path, told: Mapping[str, Any] | None) -> Iterator[Path]:
    """Give a trial's folder on the host where an attempt at it runs, for the length of a block.

    Args:
        folder: the trial's, at the driver.
        told: as `trial_at_store` gave it there.
    """
    if told is None:
        yield folder
        return
    with search_folder(told["common"]) as found:
        here = found.link.folder / TRIALS / folder.name
        link = Link(here, Place.parse(told["place"]), is_apart=found.link.is_apart)
        link.generation = Generation(found.link.writer.fence, told["attempt"])
        with linked(link):
            yield here


def search_at_store(run_dir: Path) -> dict[str, Any] | None:
    """Return what `processes_folder` takes of a search; None: its folder is shared."""
    link = link_of(run_dir)
    return None if link is None else for_workers(link, 0)


def answer_elsewhere(folder: Path, slot: Path, name: str, text: str) -> None:
    """Leave an answer for a slot on another host, which sees no file of the driver's.

    Args:
        folder: of the slot's trial.
        slot: the slot's.
        name: of the answer.
        text: it.

    Raises:
        OSError: the store does not take it.
    """
    link = link_of(folder.parents[1])
    assert link is not None, "hosts that share the folder look there"
    put_reply(link, slot.name, name, text.encode())


def leave_job(work: Mapping[str, Any], slot: Path) -> dict[str, Any]:
    """Return a slot's first work without its job, which is left where the slot looks for it.

    Ray Tune makes names of folders out of what it is given, and URIs in the job may hold secrets.

    Raises:
        OSError: the store does not take it.
    """
    told = {**work}
    if "job" in told:
        text = json.dumps(told.pop("job"))
        answer_elsewhere(Path(work["folder"]), slot, JOB_FILE, text)
    return told


@final
class Here:
    """Where a process of a search works, on its host.

    Args:
        sweep_dir: the search's folder here.
        found: what the store has to do with it; None: all hosts share the folder.
    """

    def __init__(self, sweep_dir: Path, found: SearchFolder | None = None) -> None:
        self.sweep_dir = sweep_dir
        self._found = found

    @property
    def is_apart(self) -> bool:
        """Return whether the driver sees nothing of what this process writes."""
        return self._found is not None and self._found.link.is_apart

    @contextmanager
    def trial(self, work: Mapping[str, Any], rank: int) -> Iterator[Path]:
        """Give a trial's folder for an attempt at it, for the length of a block.

        Args:
            work: as in `trial.run_slot`.
            rank: this process's; rank zero begins the attempt.
        """
        told = Path(work["folder"])
        if self._found is None:
            yield told
            return
        folder = self.sweep_dir / TRIALS / told.name
        with ExitStack() as stack:
            if self.is_apart:
                _make(folder, work["job"])
                beat = f"{TRIALS}{told.name}/{LOG_FOLDER}/beat-rank-{rank}"
                self._found.told.add(beat)
                stack.callback(self._found.tell_no_more, beat)
                if rank == 0:
                    stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(linked(self._link_of(folder, work, rank)))
            yield folder

    def first_work(self, slot: Path, work: Mapping[str, Any]) -> dict[str, Any]:
        """Return a slot's first work with what `leave_job` has left of it.

        Raises:
            OSError: the store cannot tell.
        """
        job = self.read_reply(slot, JOB_FILE) if self.is_apart else None
        return {**work, **({} if job is None else {"job": json.loads(job)})}

    def read_reply(self, slot: Path, name: str) -> str | None:
        """Return what the driver has left for a slot; None: nothing. It is left once.

        Raises:
            OSError: the store cannot tell.
        """
        try:
            if self.is_apart:
                assert self._found is not None
                return self._found.read_reply(slot.name, name).decode()
            text = (slot / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        (slot / name).unlink()
        return text

    def _link_of(self, folder: Path, work: Mapping[str, Any], rank: int) -> Link:
        assert self._found is not None
        link = Link(folder, Place.parse(work["place"]), is_apart=self.is_apart)
        link.generation = Generation(self._found.link.writer.fence, work["attempt"])
        if rank == 0:
            # What lies here may be of an attempt that counts no more: the store is asked.
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            link.patiently(lambda: begin_alone(link, is_first=work["is_first"]))
        return link


@contextmanager
def processes_folder(common: Mapping[str, Any]) -> Iterator[Here]:
    """Give where a process of a search works, for the length of a block.

    Args:
        common: as in `trial.run_slot`.
    """
    if common["store"] is None:
        yield Here(Path(common["sweep_dir"]))
        return
    with search_folder(common["store"]) as found:
        yield Here(found.link.folder, found)


def keep_logs(folder: Path) -> None:
    """Have the logs of a trial kept that has failed on a host of which the driver sees nothing."""
    link = link_of(folder.parent.parent)
    if link is not None and link.is_apart:
        with suppress(OSError):  # why it failed is told all the same
            put_trial_logs(link, folder)


def tell_others(folder: Path, name: str) -> None:
    """Have a file of a trial's folder seen by its driver and its peers, on whatever host.

    Where the store is away, those of other hosts do not see it.
    """
    link = link_of(folder)
    if link is not None:
        with suppress(OSError):
            put_word(link, name)


def hear_others(folder: Path, below: str) -> None:
    """Take in what others have told of a trial, of names that begin with a text.

    Where the store is away, what has come from other hosts is missing.
    """
    link = link_of(folder)
    if link is not None:
        with suppress(OSError):
            take_in_words(link, below)


def _make(folder: Path, job: Mapping[str, Any]) -> None:
    """Make a trial's folder on a host where its driver does not work."""
    folder.mkdir(parents=True, exist_ok=True)
    own = json.dumps({**job, "run_dir": str(folder)})
    # Workers of one trial may be several on a host.
    (folder / f".{JOB_FILE}.{os.getpid()}").write_text(own, encoding="utf-8")
    (folder / f".{JOB_FILE}.{os.getpid()}").replace(folder / JOB_FILE)
