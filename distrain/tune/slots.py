"""Actors as slots of a search: which trial runs in each, what it told, what it does next. No Ray.

In: the search; what trials tell, by the name of their slot, and which actors died. Out: work and
replies, as `trial.run_slot` takes them: the first in what `open` returns, the others as files in
the slot's folder.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from distrain.errors import DistrainError
from distrain.train.beat import last_step, read_beats
from distrain.train.placement import Placement
from distrain.tune.course import Course
from distrain.tune.faults import KernelKills, death_text
from distrain.tune.hangs import Running, last_word
from distrain.tune.host import answer_elsewhere, attempt_at_store, leave_job
from distrain.tune.reporter import REPLY
from distrain.tune.trials import Reply, Report, Work, error_of


@final
@dataclass
class _Slot:
    """An actor, and what it does.

    Attributes:
        folder: where it finds replies.
        work: the trial that it runs.
        trial_folder: that trial's.
        num_told: results that it has told.
        is_apart: whether it sees no files of this process.
    """

    folder: Path
    work: Work
    trial_folder: Path
    num_told: int = 0
    is_apart: bool = False


@final
class Slots:
    """The slots of a search, by the names that Ray Tune gives them; for one thread.

    Call order: `ask_ahead`; `open` where there is room for a slot; `take` whatever its trial tells,
    `take_death` where its actor died. What goes wrong here ends the search, and is left in `error`.

    Args:
        course: what to do.
        prepare: makes a trial's folder ready for work.
        placement: what each trial gets.
        folder: where slots find replies.
        on_event: called whenever the search has changed.
        node: Ray's id of this process's node.
    """

    def __init__(
        self,
        course: Course,
        prepare: Callable[[Work], Path],
        placement: Placement,
        folder: Path,
        on_event: Callable[[], None],
        node: str,
    ) -> None:
        self.error: BaseException | None = None
        self._course = course
        self._prepare = prepare
        self._placement = placement
        self._folder = folder
        self._on_event = on_event
        self._kills = KernelKills(node)
        self._slots: dict[str, _Slot] = {}
        self._ahead: tuple[Work, Path] | None = None

    @property
    def is_over(self) -> bool:
        """Return whether there will be nothing more to do."""
        return self.error is not None or self._course.is_over

    def running(self) -> list[Running]:
        """Return which attempts at which trials the slots are at; another thread may ask."""
        slots = list(self._slots.values())
        return [(slot.trial_folder, slot.work.attempt) for slot in slots]

    def ask_ahead(self) -> bool:
        """Take the first slot's work before there is one; return whether there is any."""
        try:
            self._ahead = self._next_work()
        except BaseException as error:  # raised by `run_search`
            self.error = error
        return self._ahead is not None

    def open(self, name: str) -> dict[str, Any] | None:
        """Return a slot's first work, as `trial.run_slot` takes it; None: there is none now."""
        if self.error is not None:
            return None
        try:
            found, self._ahead = self._ahead or self._next_work(), None
            if found is None:
                return None
            slot = _Slot(self._folder / name, *found)
            slot.folder.mkdir(parents=True)
            work = leave_job(_told(slot), slot.folder)
        except BaseException as error:  # raised by `run_search`
            self.error = error
            return None
        self._slots[name] = slot
        return {"slot": str(slot.folder), "work": work} if self._changed() else None

    def take(self, name: str, kind: str, fields: Mapping[str, Any], is_apart: bool = False) -> bool:
        """Take in what a slot's trial tells; return whether the slot goes on.

        Args:
            name: the slot's.
            kind: of what is told.
            fields: what.
            is_apart: whether the slot is on a host that sees nothing of this process's folders.
        """
        slot = self._slots.get(name)
        if self.error is not None or slot is None:
            return False
        slot.num_told += 1
        slot.is_apart = is_apart
        try:
            reply = self._take(slot, kind, fields)
            goes_on = self._answer(slot, reply)
        except BaseException as error:  # raised by `run_search`
            self.error = error
            return False
        if not goes_on:
            del self._slots[name]
            shutil.rmtree(slot.folder, ignore_errors=True)
        return self._changed() and goes_on

    def take_death(self, name: str, said: str) -> None:
        """Take in that a slot's actor died, and what Ray says of it."""
        slot = self._slots.pop(name, None)
        if self.error is not None or slot is None:
            return
        work, folder = slot.work, slot.trial_folder
        try:
            beats = read_beats(folder, work.attempt)
            step = last_step(beats) or 0
            error = last_word(folder) or death_text(
                f"trial {work.trial}",
                said,
                step,
                self._placement.group_text,
                is_by_kernel=bool(self._kills.killed([0], beats)),
            )
            self._course.lost(work.trial, step, error)
        except BaseException as error:  # raised by `run_search`
            self.error = error
        self._changed()

    def look_for_room(self, num_waiting: int) -> None:
        """Take in how many slots have no place yet."""
        if num_waiting != self._course.num_waiting:
            self._course.num_waiting = num_waiting
            self._changed()

    def look_for_dead(self, failed: Iterable[str]) -> None:
        """Take in which slots Tune has given up without a word, as where an actor is not reset."""
        for name in [name for name in failed if name in self._slots]:
            self.take_death(name, "its actor could not be used again")

    def _changed(self) -> bool:
        """Tell that the search has changed; return whether what it does now may take effect."""
        try:
            self._on_event()
        except BaseException as error:  # raised by `run_search`
            self.error = self.error or error
        return self.error is None

    def _next_work(self) -> tuple[Work, Path] | None:
        work = self._course.next_work()
        return None if work is None else (work, self._prepare(work))

    def _answer(self, slot: _Slot, reply: Reply) -> bool:
        """Leave a slot what it does now, where that is not to go on; False: there is nothing."""
        if reply == "go_on":
            return True
        answer: dict[str, Any] = {"reply": reply}
        if reply == "stop":
            found = self._next_work()
            if found is None:
                return False
            slot.work, slot.trial_folder = found
            answer["work"] = _told(slot)
        name, text = REPLY.format(number=slot.num_told), json.dumps(answer)
        if slot.is_apart:
            answer_elsewhere(slot.trial_folder, slot.folder, name, text)
        else:
            (slot.folder / name).write_text(text, encoding="utf-8")
        return True

    def _take(self, slot: _Slot, kind: str, fields: Mapping[str, Any]) -> Reply:
        course, trial = self._course, slot.work.trial
        if kind == "report":
            return course.reported(trial, Report(**fields))
        if kind == "paused":
            course.paused(trial, **fields)
        elif kind == "lost":
            course.lost(trial, fields["step"], _error(fields))
        else:
            _take_end(course, trial, dict(fields))
        return "stop"


def _told(slot: _Slot) -> dict[str, Any]:
    """Return a slot's work as its actor takes it."""
    work = slot.work
    return {
        "folder": str(slot.trial_folder),
        "attempt": work.attempt,
        "until": work.until,
        "saved_step": work.saved_step,
        **attempt_at_store(slot.trial_folder),
    }


def _error(fields: Mapping[str, Any]) -> DistrainError:
    error = error_of(fields["error"])
    assert error is not None
    return error


def _take_end(course: Course, trial: int, told: dict[str, Any]) -> None:
    error = told.pop("error", None)
    course.ended(
        trial,
        told.pop("outcome"),
        step=told.pop("step"),
        epoch=told.pop("epoch", course.trial(trial).epoch),
        error=error_of(error),
        **told,
    )
