"""When a checkpoint is due, and how long training waits for one that is being written.

What a death costs is one interval at most: while a save is being written, training goes on only so
far that no more than that is unsaved, and waits there. An interval in seconds is begun early, the
first one by half of it and each later one by twice what the last save took, so that the wait is
none; one in steps keeps to its multiples, so that the wait is what the save takes: 5 ms of a small
mlp, 8 of 70 thousand parameters, 120 of 4 million (medians, 2 cores; 2026-11-30).

A save is waited for until it has been under way for `HOLD_S`, or for half an interval in seconds,
whichever is less. Then the storage is too slow for what was asked, and a death may cost more: it is
not waited for any more, until a save is quick again.
"""

from typing import Final, final

# How long a save has been under way at most that training still waits for.
HOLD_S: Final = 10.0


@final
class Cadence:
    """Knows what of a run is saved; all times are seconds of one clock.

    Args:
        every_steps: steps of an interval; None: they do not count.
        every_s: seconds of an interval; None: they do not count.
        limit_s: how long a save has been under way at most that is waited for.
        step: committed steps that are saved, or with which training begins.
        now: the time.
    """

    def __init__(
        self,
        every_steps: int | None,
        every_s: float | None,
        limit_s: float,
        step: int,
        now: float,
    ) -> None:
        self._every_steps = every_steps
        self._every_s = every_s
        self._limit_s = limit_s if every_s is None else min(limit_s, every_s / 2)
        self._begun_step = self._safe_step = step
        self._begun = self._safe = now
        self._write_s: float | None = None
        self._is_slow = False

    @property
    def step(self) -> int:
        """Return the step of the newest save that was begun."""
        return self._begun_step

    def is_due(self, step: int, now: float) -> bool:
        """Return whether a save is to be begun with a step, where none is under way.

        Args:
            step: committed steps, the one that is about to be taken included.
            now: the time.
        """
        every = self._every_steps
        if every is not None and step // every > self._begun_step // every:
            return True
        return self._every_s is not None and now - self._begun >= self._every_s - self._lead_s

    def begin(self, step: int, now: float) -> None:
        """Note that the state of a step is being saved from now on."""
        self._begun_step, self._begun = step, now

    def hold_s(self, step: int, now: float) -> float | None:
        """Return how long training may wait for the save under way; None: it goes on.

        Args:
            step: committed steps.
            now: the time.
        """
        every, every_s = self._every_steps, self._every_s
        is_far = every is not None and step - self._safe_step >= every
        is_long = every_s is not None and now - self._safe >= every_s
        if self._is_slow or not (is_far or is_long):
            return None
        return max(0.0, self._limit_s - (now - self._begun))

    def give_up(self) -> None:
        """Note that the save under way, and those after it, are not waited for."""
        self._is_slow = True

    def end(self, now: float) -> None:
        """Note that the save under way is there."""
        self._safe_step, self._safe = self._begun_step, self._begun
        self._write_s = now - self._begun
        self._is_slow = self._is_slow and self._write_s > self._limit_s

    @property
    def _lead_s(self) -> float:
        assert self._every_s is not None
        half = self._every_s / 2
        return half if self._write_s is None else min(2 * self._write_s, half)
