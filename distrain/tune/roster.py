"""Which trials of a search wait, run, are paused or have ended; every change of that is here.

In: what a search decides, and takes in. Out: its trials, the next one to run, and counts.

    waiting --start--> running --wait--> waiting          it was cut off, or goes on
                       running --pause--> paused --wait--> waiting
    any but ended --end--> ended
"""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, final

from distrain.errors import DistrainError
from distrain.tune.trials import Outcome, Trial


@final
class Roster:
    """The trials of a search, by number."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.outcomes: Counter[str] = Counter()
        self.num_running = 0
        self._waiting: deque[int] = deque()

    @property
    def next_waiting(self) -> Trial | None:
        """Return the trial that has waited longest; None: none waits."""
        return self.trials[self._waiting[0]] if self._waiting else None

    def add(self, assignment: Mapping[str, Any]) -> Trial:
        """Take in a new trial, which waits, and return it."""
        trial = Trial(len(self.trials), assignment)
        self.trials.append(trial)
        self._waiting.append(trial.number)
        return trial

    def start(self, number: int, attempt: int, until: int | None) -> None:
        """Let a trial run; or again, where a driver was killed while it ran."""
        trial = self.trials[number]
        trial.attempt, trial.until, trial.is_kept = attempt, until, False
        trial.before_s = trial.train_s
        if trial.state == "running":
            return
        self._leave_waiting(trial)
        trial.state = "running"
        self.num_running += 1

    def wait(self, trial: Trial) -> None:
        """Let a trial that ran, or was paused, wait to go on."""
        self._leave_running(trial)
        trial.state = "waiting"
        self._waiting.append(trial.number)

    def pause(self, trial: Trial) -> None:
        """Let a trial that ran be paused until it is decided on."""
        self._leave_running(trial)
        trial.state = "paused"

    def end(
        self,
        trial: Trial,
        outcome: Outcome,
        metrics: Mapping[str, float],
        error: DistrainError | None,
    ) -> None:
        """Take in how a trial has ended."""
        self._leave_running(trial)
        self._leave_waiting(trial)
        trial.state, trial.outcome, trial.metrics, trial.error = "ended", outcome, metrics, error
        self.outcomes[outcome] += 1

    def cut_off(self) -> set[int]:
        """Let all that runs wait, in the order of numbers with what waits; return what ran."""
        running = [trial for trial in self.trials if trial.state == "running"]
        for trial in running:
            self.wait(trial)
        self._waiting = deque(sorted(self._waiting))
        return {trial.number for trial in running}

    def _leave_waiting(self, trial: Trial) -> None:
        if trial.state == "waiting":
            self._waiting.remove(trial.number)

    def _leave_running(self, trial: Trial) -> None:
        if trial.state == "running":
            self.num_running -= 1
