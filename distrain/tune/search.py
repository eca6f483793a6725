"""What a search does next, and what it decides, over a state that its events alone determine.

    until every trial has ended, or the budget is spent:
        next_work: a trial that may go on, else a new one, which the sampler is asked for
        reported:  the scheduler is told; its verdicts stop trials, or let them go on
        ended, paused, lost: what became of a trial that was given away
        a spent budget: what runs ends with what it has, and what waits is stopped

In: a plan, and what happens to trials. Out: work to give away, replies to trials, events in the
log, each before it takes effect, and at the end the best trial.

No Ray, no clock but the one it is given, no chance but the sampler's, which is seeded: so it can be
built again from its events after a crash (`replay.py`), and simulated with thousands of trials in a
second. What an event changes is in `state.py`; here is what is decided as things happen.

`time` is in the scheduler's unit, epochs or steps.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from distrain.errors import DistrainError, TrainError
from distrain.tune.budget import Spent
from distrain.tune.events import EventLog, Replayed
from distrain.tune.leaders import leading_trials
from distrain.tune.plan import SearchPlan
from distrain.tune.setting import setting_of
from distrain.tune.state import SearchState
from distrain.tune.trials import Outcome, Reply, Report, Trial, Work
from distrain.tune.verdicts import Standing, standing_of


@final
class Search:
    """A search as it happens. `replay.replay` first, where it goes on; for one thread.

    Args:
        plan: what is searched.
        log: where events go.
        now_s: a clock that never goes back.
    """

    def __init__(
        self, plan: SearchPlan, log: EventLog, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.plan = plan
        self._state = SearchState(plan, log)
        self._now_s = now_s
        self._began_s = now_s()
        self._cut: set[int] = set()
        self._unlogged: list[tuple[str, Mapping[str, Any]]] = []
        self._is_interrupted = False

    @contextmanager
    def replaying(self, replayed: Replayed) -> Iterator[SearchState]:
        """Let what earlier drivers logged take effect again in the state, within.

        Afterwards what ran waits to go on. What a killed driver did not come to is made up for by
        `begin`.

        Args:
            replayed: is told of the events, and stands for the log meanwhile.
        """
        state = self._state
        log, state.log = state.log, replayed
        yield state
        state.log = log
        state.spent = state.spent.plus(wall_s=replayed.wall_s)
        self._unlogged = replayed.missing
        self._cut = state.roster.cut_off()

    def begin(self) -> None:
        """Log that a driver begins, or goes on: with its own budget, and failures forgiven.

        What a killed driver did not come to is logged, and its batch suggested, behind that: before
        it, the time since that driver would count as searched. What a spent budget gives up ends
        here: where that is all, no actor has to be asked for.
        """
        self._began_s = self._now_s()
        self._state.began()
        for name, fields in self._unlogged:
            self._state.log.add(name, **fields)
        self._unlogged = []
        self._complete(*self._state.batch)
        self._look_at_budget()
        if self._state.is_ending:
            self._give_up_waiting()

    @property
    def trials(self) -> list[Trial]:
        """Return all trials, by number."""
        return self._state.roster.trials

    @property
    def best(self) -> Trial | None:
        """Return the best trial that is whole; of the best setting, the first that is."""
        return self._state.best

    @property
    def best_value(self) -> float:
        """Return the value of the best trial; with several seeds, the mean over its setting."""
        return self._state.best_value

    @property
    def cause(self) -> TrainError | None:
        """Return the error that ends the search."""
        return self._state.cause

    @property
    def notes(self) -> list[str]:
        """Return what a user should know."""
        return self._state.notes

    @property
    def spent(self) -> Spent:
        """Return what was spent, over all drivers."""
        return self._state.spent.plus(wall_s=self._now_s() - self._began_s)

    @property
    def epochs_spent(self) -> int:
        """Return the epochs of all trials together."""
        return self._state.spent.epochs

    @property
    def wall_s(self) -> float:
        """Return the seconds that were searched, over all drivers."""
        return self.spent.wall_s

    @property
    def is_over(self) -> bool:
        """Return whether there is nothing to give away any more, now or later."""
        if self.cause is not None or self._is_interrupted:
            return True
        roster = self._state.roster
        if roster.next_waiting is not None or roster.num_running > 0:
            return False
        if self.is_spent:  # what is paused is stopped once work is asked for
            return self.num_ended == len(self.trials)
        return not self._is_more

    @property
    def is_spent(self) -> bool:
        """Return whether the budget is spent."""
        return self.plan.budget.is_used_up(self.spent)

    @property
    def num_ended(self) -> int:
        """Return how many trials have ended."""
        return self._state.roster.outcomes.total()

    def standing(self) -> dict[str, Any]:
        """Return how far the search is, as plain values for a display.

        `trials` is a function: a look at those that lead and run costs more than all the rest.
        """
        best, roster = self.best, self._state.roster
        return {
            "metric": self.plan.metric,
            "num_trials": self.plan.num_trials,
            "num_ended": self.num_ended,
            "num_running": roster.num_running,
            "num_stopped": roster.outcomes["stopped"],
            "num_finished": roster.outcomes["finished"],
            "num_failed": roster.outcomes["failed"],
            "epochs": self.epochs_spent,
            "wall_s": self.wall_s,
            "best": None if best is None else (best.number, self.best_value),
            "trials": self._leading,
        }

    def _leading(self) -> Mapping[str, Any]:
        return leading_trials(self.trials, self.best, self.plan.metric, self.plan.mode)

    def may_win(self, trial: Trial) -> bool:
        """Return whether a trial's model may be the winner's: it is, or its setting is not over."""
        siblings = setting_of(self.trials, trial.number, self.plan.num_seeds)
        is_open = trial.is_whole and not all(one.has_ended for one in siblings)
        return trial is self.best or is_open

    def next_work(self) -> Work | None:
        """Return a trial to run now; None: there is none at this moment (see `is_over`)."""
        if self.cause is not None or self._is_interrupted:
            return None
        self._look_at_budget()
        if self._state.is_ending:
            self._give_up_waiting()
        elif self._state.roster.next_waiting is None and self._is_more:
            self._suggest()
        trial = self._state.roster.next_waiting
        if trial is None:
            return None
        until = None if self._state.is_ending else self.plan.scheduler.pause_at(trial.number)
        is_saved = until is not None and trial.time == until
        self._state.started(trial.number, trial.attempt + 1, until)
        return Work(trial.number, trial.attempt, until, trial.step if is_saved else None)

    def reported(self, number: int, report: Report) -> Reply:
        """Take in what a trial measured, and return what it does now.

        Raises:
            TrainError: the metric that decides is not among what was measured.
        """
        trial = self.trials[number]
        if self._state.reported(number, report):
            self._look_at_budget()
            self._state.log.commit()
        if trial.has_ended or self.cause is not None:
            return "stop"
        return "end" if self._is_at_end(trial, report) else "go_on"

    def paused(self, number: int, step: int, train_s: float) -> None:
        """Take in that a trial has saved its state: see `SearchState.paused`."""
        self._state.paused(number, step, train_s)

    def ended(self, number: int, outcome: Outcome, *, step: int, epoch: int, **told: Any) -> None:
        """Take in how a trial ended by itself: see `SearchState.ended`."""
        self._state.ended(number, outcome, step=step, epoch=epoch, **told)

    def lost(self, number: int, step: int, error: DistrainError) -> None:
        """Take in that a trial's process died; it is tried again, unless that is of no use.

        Args:
            number: the trial.
            step: committed steps, as last told.
            error: why.
        """
        losses = [*self.trials[number].losses, step]
        gives_up = losses.count(step) > 1 or len(losses) > self.plan.max_losses
        self._state.lost(number, step, error, gives_up=gives_up)

    def interrupt(self) -> None:
        """Give nothing away any more: trials save their state, and go on another time."""
        self._is_interrupted = True

    def _look_at_budget(self) -> None:
        """Find once that the budget is spent."""
        if not self._state.is_ending and self.is_spent:
            self._state.budget_spent()

    def _is_at_end(self, trial: Trial, report: Report) -> bool:
        """Return whether a trial ends with what it has; one that was cut, where it was before."""
        last = trial.verdicts[-1] if trial.verdicts else None
        has_finished = last is not None and last.action == "finish" and report.time >= last.time
        return has_finished or (self._state.is_ending and report.time >= trial.time)

    @property
    def _is_more(self) -> bool:
        num = len(self.trials)
        if self._state.is_used_up or num >= self.plan.num_trials:
            return False
        return self.plan.scheduler.num_wanted(num) > 0 or self._state.roster.num_running > 0

    def _suggest(self) -> None:
        first = len(self.trials)
        count = min(self.plan.scheduler.num_wanted(first), self.plan.num_trials - first)
        if count > 0:
            self._complete(first, count)

    def _complete(self, first: int, count: int) -> None:
        """Suggest what is missing of a batch: a killed driver may have come half its way."""
        missing = range(len(self.trials), first + count)
        if not missing:
            return
        told = self._state.told
        # Copied only where a part of a batch is there: of thousands, that takes a millisecond.
        history = told if len(told) == first else told[:first]
        asked = self.plan.sampler.ask(first, count, history)
        for number in missing:
            if number - first >= len(asked):
                self._state.used_up(number, first + count - number)
                break
            self._state.suggested(number, asked[number - first], (first, count))
        self._state.log.commit()

    def _give_up_waiting(self) -> None:
        """End what waits, where the budget is spent, but for what a killed driver has cut off.

        Where no trial is whole, or will be, the best one goes on to its next evaluation, and ends.
        """
        waiting = [trial for trial in self.trials if trial.state in ("waiting", "paused")]
        begun = [trial for trial in waiting if trial.reports]
        kept = {trial.number for trial in begun if trial.number in self._cut}
        if begun and not kept and self._state.roster.num_running == 0 and self.best is None:
            kept = {min(begun, key=self._last_standing).number}
        for trial in waiting:
            if trial.number not in kept:
                self.ended(trial.number, "stopped", step=trial.step, epoch=trial.epoch)
            elif trial.state == "paused":
                self._state.roster.wait(trial)

    def _last_standing(self, trial: Trial) -> Standing:
        return standing_of(trial.number, trial.reports[-1][1], self.plan.mode)
