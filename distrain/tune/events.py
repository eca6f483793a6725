"""A search's event log: what was suggested, reported, decided, and how each trial ended.

Events are records of the kind `search` in the sweep's journal, by a writer of their own, so they
outlive the process as soon as they are added, and the machine once they are committed. Nothing is
ever taken back: a search is what comes of its events in their order (see `replay.py`).

    inherited  search, points, results: what is taken over from an earlier one
    began      gpus: a driver begins, or goes on; of each trial, as it runs from there on
    suggested  trial, assignment; batch: the first trial and the number that were asked for;
               setting: of several seeds, which one it is of;
               may_change: whether other values may follow, as with pbt
    used_up    trial, count: those that the sampler has no more values for
    started    trial, attempt, until: where it pauses
    reported   trial and the fields of a `trials.Report`
    decided    trial and the fields of a `verdicts.Verdict`
               source, assignment: whom it takes over from, and its values from there on
    ran_on     trial and the fields of a report: measured by one that was stopped and did not know
               it yet; told anew by its audit, which goes on from there
    paused     trial, step, train_s: its checkpoint holds it
    spent      the budget is; what runs ends with what it has
    lost       trial, step, error: its process died; gives_up: it is not tried again
    ended      trial, outcome, step, epoch, metrics, weights_sha256, train_s, error
               assignment: of one whose values may have changed
    won        trial: it is evaluated and registered
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, final

from distrain.errors import CheckpointError
from distrain.object_store.link import link_of
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import written_by

WRITER = "search"


class EventLog(Protocol):
    """Where the events of a search go."""

    def add(self, event: str, /, **fields: Any) -> None:
        """Take in an event; it outlives this process."""

    def commit(self) -> None:
        """Make durable what was added: before it takes effect."""


@final
class EventWriter:
    """Appends events to a sweep's journal.

    Args:
        journal: the journal, open.
        is_patient: whether what was committed may wait for `flush`, so that the events of a moment
            are one request at an object store.
    """

    def __init__(self, journal: JournalWriter, *, is_patient: bool = False) -> None:
        self._journal = journal
        self._is_patient = is_patient
        self._is_due = False

    def add(self, event: str, /, **fields: Any) -> None:
        """Take in an event; it outlives this process."""
        self._journal.search({"event": event, **fields})

    def commit(self) -> None:
        """Make durable what was added, at once or by the next `flush`.

        Raises:
            OSError: the disk is full, or gone.
        """
        self._is_due = True
        if not self._is_patient:
            self.flush()

    def flush(self) -> None:
        """Make durable what was committed: before anybody else learns of it.

        Raises:
            OSError: the disk is full, or gone; or the store that keeps the search is.
        """
        if self._is_due:
            self._journal.sync()
            self._is_due = False


@contextmanager
def writing_events(folder: Path, is_ours: Callable[[], bool]) -> Iterator[EventWriter]:
    """Keep a sweep's journal open for its events, for the length of a `with` block.

    Args:
        folder: the journal's folder.
        is_ours: asked now and then whether this driver still holds the sweep.

    Raises:
        OSError: the disk is full, or gone.
    """
    with JournalWriter(folder, WRITER, is_ours=is_ours) as journal:
        yield EventWriter(journal, is_patient=link_of(folder.parent) is not None)


@final
class Replayed:
    """Stands for the log while events are replayed: finds what a killed driver did not log.

    Call order: `expect` an event, `add` what it leads to; of the next one the same.
    """

    def __init__(self) -> None:
        self._before_s = 0.0
        self._began_ms = self._last_ms = 0
        self._made: Counter[str] = Counter()
        self._fields: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def expect(self, event: Mapping[str, Any]) -> None:
        """Take in that an event stands in the log, and when it was added."""
        self._made[_identity(event["event"], event)] -= 1
        if event["event"] == "began":
            self._before_s = self.wall_s
            self._began_ms = self._last_ms = event.get("time_ms", 0)
        elif event["event"] != "won":  # told once what comes after the search is over, too
            self._last_ms = event.get("time_ms", self._last_ms)

    @property
    def wall_s(self) -> float:
        """Return the seconds from the first to the last event of each driver's search, together."""
        return self._before_s + (self._last_ms - self._began_ms) / 1000

    def add(self, event: str, /, **fields: Any) -> None:
        """Take in an event that is made again."""
        key = _identity(event, fields)
        self._made[key] += 1
        self._fields.setdefault(key, (event, fields))

    def commit(self) -> None:
        """Do nothing."""

    @property
    def missing(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return what was made again and does not stand in the log, in order."""
        return [self._fields[key] for key in self._fields if self._made[key] > 0]


def _identity(event: str, fields: Mapping[str, Any]) -> str:
    """Return what two events have in common that are the same."""
    told = {"decided": ("trial", "action", "time", "rung"), "ended": ("trial", "outcome")}
    kept = {name: fields.get(name) for name in told.get(event, ("trial", "step"))}
    return json.dumps([event, kept])


def read_events(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Give the events of a sweep, the oldest first, each with the `time_ms` when it was added.

    Args:
        folder: the journal's folder.

    Raises:
        CheckpointError: an event is damaged.
    """
    for record in written_by(WRITER, folder):
        if record.kind == "damaged":
            raise CheckpointError(
                f"the event log of the search is damaged at byte {record.payload['offset']}",
                where=str(folder / record.payload["file"]),
                expected="every event as it was written: what was decided follows from all of them",
                mend="Put the file back from a copy, or start a new search",
            )
        if record.kind == "search":
            yield {**record.payload, "time_ms": record.time_ms}
