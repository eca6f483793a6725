"""A search and what comes after it, as one thing to run: the winner's other seeds, and the audit.

    search    until it is over; nothing of the rest has a part in it
    confirm   the winner's configuration with other seeds, each a run of its own
    audit     some of the trials that the scheduler stopped, run on to their end

What comes after begins when the search is over and every actor has let go of its trials. So with
and without it any scheduler decides alike, those too that judge trials as they come, whatever the
audit takes of the machine; its epochs, and those of the confirmation, are beyond the budget, which
is the search's. A trial that is stopped and will be audited saves its state first; one that hears
of it late, as another seed of its setting was behind it, leaves what it measured until then, too.

Each part is a search of its own, without a scheduler, over trials that are known. All events stand
in one log; trials of the parts have numbers of their own there (`track.trials`), which follow from
the search alone. So after a crash, or once the search was extended, each goes on where it was.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, final

from distrain.errors import DistrainError
from distrain.track.trials import AUDITS_FROM, confirming_trial
from distrain.tune.audit import AuditResult, judge_stops
from distrain.tune.confirm import ConfirmResult, other_seeds
from distrain.tune.events import EventLog
from distrain.tune.part import Part, part_of
from distrain.tune.plan import Begun
from distrain.tune.replay import replay
from distrain.tune.search import Search
from distrain.tune.setting import SEED, mean_of
from distrain.tune.told import seed_for
from distrain.tune.trials import Outcome, Reply, Report, Trial, Work

_CHANCES: Final = 2**32


@final
@dataclass(frozen=True)
class Afterwards:
    """What comes after a search.

    Attributes:
        seed: the search's: of the draw of the audit, and of the configuration as it is written.
        confirm: with how many other seeds the winner is trained again.
        audit_fraction: share of the stopped trials that run on to their end.
        num_seeds: trials of a setting, which are audited together.
    """

    seed: int = 0
    confirm: int = 0
    audit_fraction: float = 0.0
    num_seeds: int = 1

    def audits(self, trial: Trial) -> bool:
        """Return whether a trial that has been stopped is audited: by its setting, and the seed."""
        if not self.audit_fraction or not was_stopped(trial):
            return False
        setting = trial.number // self.num_seeds
        return seed_for(self.seed, setting, "audit") < self.audit_fraction * _CHANCES


@final
class Course:
    """A search, and what comes after it. `replay` first, where it goes on; for one thread.

    Args:
        search: before anything has happened.
        log: its own.
        afterwards: what comes after it.
    """

    def __init__(self, search: Search, log: EventLog, afterwards: Afterwards) -> None:
        self.search = search
        self._log = log
        self._afterwards = afterwards
        self._later: list[Mapping[str, Any]] = []
        self._untold: dict[int, list[Report]] = {}
        self._parts: list[Part] | None = None
        self._in_hand: set[int] = set()
        self._is_interrupted = False
        self._wall_s: float | None = None
        self.num_waiting = 0  # trials that are given away, and whose workers wait for room

    def replay(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in what earlier drivers have logged; before anything else."""
        replay(self.search, self._own(events))

    def begin(self) -> None:
        """Log that a driver begins, or goes on."""
        self.search.begin()
        self._advance()

    @property
    def wall_s(self) -> float:
        """Return the seconds that were searched, over all drivers, without what comes after."""
        return self.search.wall_s if self._wall_s is None else self._wall_s

    @property
    def is_over(self) -> bool:
        """Return whether there is nothing to give away any more, now or later."""
        if not self.search.is_over:
            return False
        if not self._goes_on:
            return True
        return self._parts is not None and all(part.search.is_over for part in self._parts)

    def next_work(self) -> Work | None:
        """Return a trial to run now; None: there is none at this moment (see `is_over`)."""
        if self._is_interrupted:  # perhaps while another thread made what comes after the search
            return None
        # A search that is over is asked no more: its budget may be spent by what comes after it.
        work = self.search.next_work() if self._parts is None else None
        self._advance()
        for part in self._parts or ():
            work = work or part.next_work()
        if work is not None:
            self._in_hand.add(work.trial)
        return work

    def reported(self, number: int, report: Report) -> Reply:
        """Take in what a trial measured, and return what it does now.

        Raises:
            TrainError: the metric that decides is not among what was measured.
        """
        search, local = self._at(number)
        had_ended = search.trials[local].has_ended
        reply = search.reported(local, report)
        if reply == "stop" and self._will_be_audited(number):
            if had_ended:  # its setting was stopped, of which another seed is behind it
                self._run_on(number, report)
            return "pause"
        if reply == "stop":
            self._let_go(number)
        return reply

    def paused(self, number: int, step: int, train_s: float) -> None:
        """Take in that a trial has saved its state."""
        search, local = self._at(number)
        search.paused(local, step, train_s)
        self._let_go(number)

    def ended(self, number: int, outcome: Outcome, *, step: int, epoch: int, **told: Any) -> None:
        """Take in how a trial ended by itself: see `Search.ended`."""
        search, local = self._at(number)
        search.ended(local, outcome, step=step, epoch=epoch, **told)
        self._let_go(number)

    def lost(self, number: int, step: int, error: DistrainError) -> None:
        """Take in that a trial's process died."""
        search, local = self._at(number)
        search.lost(local, step, error)
        self._let_go(number)

    def interrupt(self) -> None:
        """Give nothing away any more: trials save their state, and go on another time."""
        self._is_interrupted = True
        for search in (self.search, *(part.search for part in self._parts or ())):
            search.interrupt()

    def trial(self, number: int) -> Trial:
        """Return a trial of the search, or of what comes after it; its own number may be another.

        Args:
            number: as in a `Work`.
        """
        search, local = self._at(number)
        return search.trials[local]

    def is_kept(self, number: int) -> bool:
        """Return whether what a trial has left is still of use: it runs, waits, or may win."""
        if self._place_of(number) is None:  # of an earlier winner, say
            return False
        trial = self.trial(number)
        if number >= AUDITS_FROM or trial.state != "ended":
            return trial.state != "ended"
        return self.search.may_win(trial) or self._waits_for_audit(number)

    def has_failed(self, number: int) -> bool:
        """Return whether it is known that a trial has failed, or what ran on in its folder."""
        numbers = (number, AUDITS_FROM + number) if number < AUDITS_FROM else (number,)
        known = [self.trial(one) for one in numbers if self._place_of(one) is not None]
        return any(trial.outcome == "failed" for trial in known)

    @property
    def num_ended(self) -> int:
        """Return how many trials have ended, of the search and of what comes after it."""
        parts = [part.search for part in self._parts or ()]
        return sum(search.num_ended for search in (self.search, *parts))

    @property
    def notes(self) -> list[str]:
        """Return what a user should know of the search, and of what comes after it."""
        return [*self.search.notes, *(text for part in self._parts or () for text in part.notes)]

    def standing(self) -> dict[str, Any]:
        """Return how far it is, as plain values for a display."""
        told = [part.told for part in self._parts or () if part.numbers]
        standing = self.search.standing()
        standing["num_running"] = max(0, standing["num_running"] - self.num_waiting)
        return {**standing, "num_waiting": self.num_waiting, "after": ", ".join(told)}

    @property
    def confirmed(self) -> ConfirmResult | None:
        """What the winner came to with other seeds; None: not asked for, or not over."""
        part, best = self._part("confirming"), self.search.best
        if part is None or best is None or not part.search.is_over:
            return None
        metric, trials = self.search.plan.metric, part.search.trials
        whole = [trial for trial in trials if trial.is_whole]
        return ConfirmResult(
            trial=best.number,
            metric=metric,
            values={trial.assignment[SEED]: self._final(trial) for trial in whole},
            num_failed=len(trials) - len(whole),
            epochs=part.search.epochs_spent,
        )

    @property
    def audited(self) -> AuditResult | None:
        """What the audit came to; None: it was not asked for, or is not over."""
        part, best = self._part("auditing"), self.search.best
        if self._afterwards.audit_fraction == 0 or best is None or self._parts is None:
            return None
        if part is not None and not part.search.is_over:
            return None
        stopped = {self._setting_of(t.number) for t in self.search.trials if was_stopped(t)}
        return judge_stops(
            self.search.best_value,
            self._audited_finals(part),
            self.search.plan.mode,
            num_stopped=len(stopped),
            epochs=part.search.epochs_spent if part is not None else 0,
        )

    def _audited_finals(self, part: Part | None) -> dict[int, float | None]:
        """Return the mean of each audited setting, by its first trial; None: not all are whole."""
        settings: dict[int, list[Trial]] = {}
        num_seeds, trials = self._afterwards.num_seeds, part.search.trials if part else []
        for number, trial in zip(part.numbers if part else (), trials, strict=False):
            settings.setdefault(self._setting_of(number - AUDITS_FROM), []).append(trial)
        finals: dict[int, float | None] = {}
        for setting, of_setting in settings.items():
            whole = [self._final(one) for one in of_setting if one.is_whole]
            finals[setting * num_seeds] = mean_of(whole) if len(whole) == num_seeds else None
        return finals

    def _setting_of(self, number: int) -> int:
        return number // self._afterwards.num_seeds

    def _final(self, trial: Trial) -> float:
        return trial.metrics.get(self.search.plan.metric, math.nan)

    def _part(self, name: str) -> Part | None:
        return next((part for part in self._parts or () if part.name == name), None)

    def _own(self, events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Give the search's own events; keep the others."""
        for event in events:
            if event["event"] == "ran_on":
                self._untold.setdefault(event["trial"], []).append(Report.of_event(event))
            elif event.get("trial", -1) < AUDITS_FROM:
                yield event
            else:
                self._later.append(event)

    @property
    def _goes_on(self) -> bool:
        """Whether something may come after the search, once that is over."""
        is_whole = self.search.cause is None and self.search.best is not None
        return is_whole and not self._is_interrupted

    def _advance(self) -> None:
        """Make what comes after the search, once that is over and nobody works at its trials."""
        if self._parts is not None or not self._goes_on or self._in_hand:
            return
        if not self.search.is_over:
            return
        self._wall_s = self.search.wall_s
        self._parts = [part for part in (self._confirming(), self._auditing()) if part.numbers]
        for part in self._parts:
            part.begin(self._later)
        self._later = []

    def _confirming(self) -> Part:
        best = self.search.best
        assert best is not None
        own, num_seeds = (
            best.assignment.get(SEED, self._afterwards.seed),
            self.search.plan.num_seeds,
        )
        first = own - best.number % num_seeds
        seeds = other_seeds(first + num_seeds, self._afterwards.confirm)
        trials = {
            confirming_trial(best.number, place): {**best.assignment, SEED: seed}
            for place, seed in enumerate(seeds)
        }
        return part_of(self.search.plan, self._log, "confirming", trials)

    def _auditing(self) -> Part:
        audited = [trial for trial in self.search.trials if self._afterwards.audits(trial)]
        begun = {
            place: Begun(
                tuple(trial.reports),
                trial.epoch,
                trial.step,
                trial.attempt,
                tuple(self._untold.get(trial.number, ())),
            )
            for place, trial in enumerate(audited)
        }
        trials = {AUDITS_FROM + trial.number: trial.assignment for trial in audited}
        return part_of(self.search.plan, self._log, "auditing", trials, begun)

    def _at(self, number: int) -> tuple[Search, int]:
        """Return the search that a trial is one of, and its number there."""
        found = self._place_of(number)
        assert found is not None, f"there is no trial {number}"
        return found

    def _place_of(self, number: int) -> tuple[Search, int] | None:
        if number < AUDITS_FROM:
            return (self.search, number) if number < len(self.search.trials) else None
        for part in self._parts or ():
            if number in part.places and part.places[number] < len(part.search.trials):
                return part.search, part.places[number]
        return None

    def _will_be_audited(self, number: int) -> bool:
        return number < AUDITS_FROM and self._afterwards.audits(self.search.trials[number])

    def _waits_for_audit(self, number: int) -> bool:
        """Return whether a stopped trial's state is still needed."""
        if not self._will_be_audited(number):
            return False
        part = self._part("auditing")
        if part is None or AUDITS_FROM + number not in part.places:
            return self._parts is None
        place = part.places[AUDITS_FROM + number]
        return place >= len(part.search.trials) or part.search.trials[place].state != "ended"

    def _run_on(self, number: int, report: Report) -> None:
        """Log and keep what a trial measured behind its stop: its state for the audit holds it."""
        if report.time > self.search.trials[number].time:
            self._log.add("ran_on", trial=number, **asdict(report))
            self._log.commit()
            self._untold.setdefault(number, []).append(report)

    def _let_go(self, number: int) -> None:
        self._in_hand.discard(number)
        self._advance()


def was_stopped(trial: Trial) -> bool:
    """Return whether the scheduler has stopped a trial, not the budget, and not its own end."""
    is_last = bool(trial.verdicts) and trial.verdicts[-1].action == "stop"
    return trial.outcome == "stopped" and is_last
