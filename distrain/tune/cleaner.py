"""What trials leave, and what of it is still of use: the rest is removed as the search goes on."""

import shutil
from pathlib import Path
from typing import final

from distrain.track.trials import kind_of
from distrain.train.checkpoint import FOLDER as CHECKPOINTS
from distrain.tune.course import Course
from distrain.tune.places import TrialPlaces


@final
class Cleaner:
    """Removes what trials leave that can no longer win.

    Args:
        folder: of all trials.
        course: theirs.
        places: of them at a store; None: there is none.
    """

    def __init__(self, folder: Path, course: Course, places: TrialPlaces | None) -> None:
        self._folder = folder
        self._course = course
        self._places = places
        self._there = self._look()
        self._num_ended = -1

    def begin(self, trial: int) -> None:
        """Take in that a trial has a folder."""
        self._there.add(int(folder_name(trial)))

    def clear(self) -> None:
        """Remove what trials left that ended and are of no use; failed ones keep their logs."""
        if self._course.num_ended == self._num_ended:  # thousands may wait at a rung
            return
        self._num_ended = self._course.num_ended
        for number in sorted(self._there):
            if self._course.is_kept(number):
                continue
            folder = self._folder / folder_name(number)
            has_failed = self._course.has_failed(number)
            if self._places is not None:
                self._places.forget(folder, has_failed=has_failed)
            shutil.rmtree(folder / CHECKPOINTS if has_failed else folder, ignore_errors=True)
            self._there.discard(number)

    def finish(self) -> None:
        """Remove also what a trial wrote while it was stopped; none runs any more."""
        self._there, self._num_ended = self._look(), -1
        if self._places is not None:
            self._there |= {int(name) for name in self._places.there()}
        self.clear()

    def _look(self) -> set[int]:
        return {int(path.name) for path in self._folder.glob("[0-9]*")}


def folder_name(trial: int) -> str:
    """Return the name of a trial's folder; one that is audited goes on in its own."""
    kind, of_trial, _ = kind_of(trial)
    return f"{of_trial if kind == 'audit' else trial:04d}"
