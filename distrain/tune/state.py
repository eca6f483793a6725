"""The state of a search, which its events alone determine: what each of them changes.

In: a plan, and the events, an operation for each, in their order. Out: the trials, the best of
them, what was spent, and the same events in the log, each before it takes effect. A report leads to
verdicts of the scheduler's, which stop trials or let them go on.

Nothing here decides by a clock or asks a sampler: that is `search.py`, which calls these operations
as things happen. `replay.py` calls them with earlier events.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, final

from distrain.errors import CheckpointError, DistrainError, TrainError
from distrain.tune.budget import Spent
from distrain.tune.events import EventLog
from distrain.tune.failures import cause_text, error_of_many
from distrain.tune.measured import difference, value_of
from distrain.tune.plan import SearchPlan
from distrain.tune.roster import Roster
from distrain.tune.setting import setting_of, setting_rank
from distrain.tune.told import Told
from distrain.tune.trials import Outcome, Report, Trial, fields_of, told_of
from distrain.tune.verdicts import Standing, Verdict


@final
class SearchState:
    """What is known of a search; for one thread.

    Args:
        plan: what is searched.
        log: where events go; another one while they are replayed.

    Attributes:
        roster: its trials.
        told: what a sampler is told of them.
        best: the best one that is whole; of the best setting, the first that is.
        best_value: its value; with several seeds, the mean over its setting.
        cause: what ends the search: too many failures of one cause.
        notes: what a user should know.
        spent: in epochs and GPUs; its seconds are those of earlier drivers.
        batch: the first trial and the number of trials that were asked for last.
        is_used_up: whether the sampler has nothing left.
        is_ending: whether the budget is spent.
        known_ends: trial to how it has ended, by what earlier drivers logged.
    """

    def __init__(self, plan: SearchPlan, log: EventLog) -> None:
        self.plan = plan
        self.log = log
        self.roster = Roster()
        self.told: list[Told] = []
        self.best: Trial | None = None
        self.best_value = math.nan
        self._best_rank: tuple[int, Standing] | None = None
        self.cause: TrainError | None = None
        self.notes: list[str] = []
        self.spent = Spent()
        self.batch = (0, 0)
        self.is_used_up = False
        self.is_ending = False
        self.known_ends: Mapping[int, Outcome] = {}
        self._failures: Counter[str] = Counter()

    def began(self) -> None:
        """Take in that a driver begins, or goes on: with its own budget, and failures forgiven."""
        self.is_ending = False
        self._failures.clear()
        self.cause = None
        self.log.add("began", gpus=self.plan.gpus_per_trial)
        self.log.commit()

    def suggested(self, number: int, assignment: Mapping[str, Any], batch: tuple[int, int]) -> None:
        """Take in a new trial, which waits to be given away.

        Args:
            number: the trial.
            assignment: its values, by dotted path.
            batch: the first trial, and the number of trials, that it was asked for with.

        Raises:
            CheckpointError: it is not the next one.
        """
        if number != len(self.roster.trials):
            raise CheckpointError(
                f"trial {number} comes after {len(self.roster.trials)} others in the event log",
                where="the search's journal",
                expected=f"trial {len(self.roster.trials)}: events are missing",
                mend="Put the journal back from a copy, or start a new search",
            )
        num_seeds = self.plan.num_seeds
        setting = {"setting": number // num_seeds} if num_seeds > 1 else {}
        changing = {"may_change": True} if self.plan.explorer is not None else {}
        fields = {"assignment": assignment, "batch": list(batch), **setting, **changing}
        self.log.add("suggested", trial=number, **fields)
        self.batch = batch
        trial, begun = self.roster.add(assignment), self.plan.begun.get(number)
        if begun is not None:
            trial.reports, trial.epoch = [*begun.reports], begun.epoch
            trial.step, trial.attempt = begun.step, begun.attempt
        self.told.append(told_of(trial, self.plan.metric))

    def used_up(self, number: int, count: int) -> None:
        """Take in that the sampler has nothing left, and what the scheduler waits for in vain.

        Args:
            number: the first trial that there are no values for.
            count: how many there are of them.
        """
        self.log.add("used_up", trial=number, count=count)
        self.is_used_up = True
        for missing in range(number, number + count):
            self._apply(self.plan.scheduler.leave(missing))

    def started(self, number: int, attempt: int, until: int | None) -> None:
        """Take in that a trial is given away, for which time, and when it pauses.

        After the budget it pauses no more, and is compared no more with those that would.
        """
        self.log.add("started", trial=number, attempt=attempt, until=until)
        self.roster.start(number, attempt, until)
        if self.is_ending and self.plan.scheduler.pause_at(number) is not None:
            self._apply(self.plan.scheduler.leave(number))

    def reported(self, number: int, report: Report) -> bool:
        """Take in what a trial measured; return whether that was news, and not a repeat.

        Raises:
            TrainError: the metric that decides is not among what was measured.
        """
        trial = self.roster.trials[number]
        if trial.has_ended:
            return False
        self._spend(trial, report.epoch, report.train_s)
        if report.time <= trial.time:
            told = difference(trial, report, self.plan.metric, self.plan.name_of(number))
            self.notes += [] if told is None else [told]
            return False
        value = value_of(report.values, self.plan.metric, self.plan.name_of(number))
        self.log.add("reported", trial=number, **asdict(report))
        trial.reports.append((report.time, value))
        trial.step, trial.taken = report.step, None
        # Also of a spent budget's trials: a search that goes on with a larger one is told all.
        self._apply(self.plan.scheduler.report(number, report.time, value, is_end=report.is_end))
        return True

    def paused(self, number: int, step: int, train_s: float) -> None:
        """Take in that a trial has saved its state: it waits to be decided on, or was interrupted.

        Args:
            number: the trial.
            step: committed steps.
            train_s: seconds inside it in this attempt.
        """
        trial = self.roster.trials[number]
        if trial.has_ended:  # it was decided against while it saved
            return
        self.log.add("paused", trial=number, step=step, train_s=train_s)
        self.log.commit()
        self._spend(trial, trial.epoch, train_s)
        trial.step = step
        if trial.is_kept or trial.until is None or trial.time < trial.until:
            self.roster.wait(trial)
        else:
            self.roster.pause(trial)
            self._apply(self.plan.scheduler.saved(number))

    def lost(self, number: int, step: int, error: DistrainError, *, gives_up: bool) -> None:
        """Take in that a trial's process died.

        Args:
            number: the trial.
            step: committed steps, as last told.
            error: why.
            gives_up: whether the trial has failed of it, and is not tried again.
        """
        trial = self.roster.trials[number]
        if trial.has_ended:
            return
        trial.losses.append(step)
        fields = {"step": step, "error": fields_of(error), "gives_up": gives_up}
        self.log.add("lost", trial=number, **fields)
        if gives_up:
            self.ended(number, "failed", step=step, epoch=trial.epoch, error=error)
        else:
            self.roster.wait(trial)

    def ended(self, number: int, outcome: Outcome, *, step: int, epoch: int, **told: Any) -> None:
        """Take in how a trial ended by itself.

        Args:
            number: the trial.
            outcome: how.
            step: committed steps.
            epoch: epochs, the one that it ended in among them: that is spent, too.
            told: `metrics` and `weights_sha256` of one that is whole, `train_s` inside it in this
                attempt, `error` of one that failed.
        """
        trial = self.roster.trials[number]
        if trial.has_ended:
            return
        self._spend(trial, epoch, told.get("train_s", trial.train_s - trial.before_s))
        trial.step, trial.weights_sha256 = step, told.get("weights_sha256") or ""
        self._end(trial, outcome, told.get("metrics") or {}, told.get("error"))
        self._apply(self.plan.scheduler.leave(number))
        self.log.commit()

    def budget_spent(self) -> None:
        """Take in that the budget is spent: what runs ends with what it has, the rest stops."""
        self.log.add("spent")
        self.is_ending = True

    def _spend(self, trial: Trial, epoch: int, train_s: float) -> None:
        """Take in how far a trial is, and the seconds that this attempt at it has taken."""
        in_all_s = trial.before_s + train_s
        gpu_s = (in_all_s - trial.train_s) * self.plan.gpus_per_trial
        self.spent = self.spent.plus(epochs=max(0, epoch - trial.epoch), gpu_s=gpu_s)
        trial.train_s, trial.epoch = in_all_s, max(epoch, trial.epoch)

    def _apply(self, verdicts: Iterable[Verdict]) -> None:
        """Log verdicts, and let them take effect."""
        num = len(self.roster.trials)
        told = [one for one in verdicts if one.trial < num and not self._is_refuted(one)]
        known = [self._whole(verdict) for verdict in told]
        for verdict in known:
            self.log.add("decided", **verdict.to_event())
        if any(verdict.action != "go_on" for verdict in known):
            self.log.commit()
        for verdict in known:
            trial = self.roster.trials[verdict.trial]
            trial.verdicts.append(verdict)
            if trial.has_ended:
                continue
            if verdict.action == "stop":
                self._end(trial, "stopped", {}, None)
                continue
            if verdict.source is not None:
                self._take_over(trial, verdict, self.roster.trials[verdict.source])
            if trial.state == "paused":
                self.roster.wait(trial)
            else:
                trial.is_kept = True

    def _is_refuted(self, verdict: Verdict) -> bool:
        """Return whether a verdict stops a trial that the log lets run on, to another end."""
        end = self.known_ends.get(verdict.trial, "stopped")
        return verdict.action == "stop" and end != "stopped"

    def _whole(self, verdict: Verdict) -> Verdict:
        """Return a verdict with what its trial goes on with, where it takes over from another."""
        if verdict.source is None:
            return verdict
        assert self.plan.explorer is not None, "only a population takes over"
        source = self.roster.trials[verdict.source]
        return self.plan.explorer.taken_over(verdict, source.assignment, source.step)

    def _take_over(self, trial: Trial, verdict: Verdict, source: Trial) -> None:
        """Make a trial what another is: its settings and its curve; its state follows.

        What is computed again of it is compared with that curve.
        """
        assert verdict.assignment is not None
        trial.assignment = verdict.assignment
        trial.reports[:] = source.reports
        trial.step, trial.taken = source.step, (source.number, source.step, source.num_taken)

    def _end(
        self,
        trial: Trial,
        outcome: Outcome,
        metrics: Mapping[str, float],
        error: DistrainError | None,
    ) -> None:
        self.log.add(
            "ended",
            trial=trial.number,
            outcome=outcome,
            step=trial.step,
            epoch=trial.epoch,
            metrics=dict(metrics),
            train_s=round(trial.train_s, 4),
            weights_sha256=trial.weights_sha256,
            error=fields_of(error),
            **({} if self.plan.explorer is None else {"assignment": dict(trial.assignment)}),
        )
        self.roster.end(trial, outcome, metrics, error)
        self.told[trial.number] = told_of(trial, self.plan.metric)
        self._choose(trial)
        if error is not None:
            self._failures[cause_text(error)] += 1
            count = self._failures[cause_text(error)]
            self.cause = self.cause or error_of_many(error, count)

    def _choose(self, trial: Trial) -> None:
        """Take in that a trial has ended, by which its setting may be the best."""
        plan = self.plan
        trials = setting_of(self.roster.trials, trial.number, plan.num_seeds)
        whole = [one for one in trials if one.is_whole]
        if not whole or not all(one.has_ended for one in trials):
            return
        rank, mean = setting_rank(trials, plan.metric, plan.mode, plan.num_seeds)
        if self._best_rank is None or rank < self._best_rank:
            self.best, self.best_value, self._best_rank = whole[0], mean, rank
