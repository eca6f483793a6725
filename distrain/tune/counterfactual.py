"""What another scheduler would have done with the curves that a search has recorded. Pure.

The reports are played in the order in which they came. A trial that another scheduler would have
let run on beyond what was recorded ends there, and is counted: its curve is not known, and neither
is how good it would have become. Of an audited trial it is.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from distrain.config.names import Mode
from distrain.track.trials import AUDITS_FROM, kind_of
from distrain.tune.schedulers import Scheduler, Verdict
from distrain.tune.setting import mean_of
from distrain.tune.verdicts import standing_of

_CUT_SHORT = ("stopped", None)


@final
@dataclass(frozen=True)
class Curve:
    """What a trial has recorded.

    Attributes:
        reports: (time, whole epochs, value), in order.
        outcome: how it ended; None: it did not.
        final: value of the metric of its final model; None: it has none.
        ends_itself: whether it said with its last report that it ends there.
    """

    reports: list[tuple[int, int, float]] = field(default_factory=list)
    outcome: str | None = None
    final: float | None = None
    ends_itself: bool = False


@final
@dataclass(frozen=True)
class Played:
    """What came of recorded curves under a scheduler.

    Attributes:
        epochs: that would have been spent, as far as the curves go.
        num_stopped: trials that would have been stopped.
        num_unknown: trials whose curve ends before this scheduler is done with them.
        best: number and final value of the best trial that would have come to its end; None: none.
    """

    epochs: int
    num_stopped: int
    num_unknown: int
    best: tuple[int, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        best = self.best and {"trial": self.best[0], "value": self.best[1]}
        return {
            "epochs": self.epochs,
            "num_stopped": self.num_stopped,
            "num_unknown": self.num_unknown,
            "best": best,
        }


def with_audit(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a search's own events, in which the curves of audited trials go on to their end.

    Args:
        events: all that stand in its log, the oldest first.
    """
    told = list(events)
    whole = {
        event["trial"] - AUDITS_FROM
        for event in told
        if event["event"] == "ended" and kind_of(event["trial"])[0] == "audit"
    }
    own: list[Mapping[str, Any]] = []
    for event in told:
        number = event.get("trial", -1)
        kind, trial, _ = kind_of(number)
        was_cut = event["event"] == "ended" and trial in whole
        if kind == "trial" and not was_cut:
            own.append(event)
        elif kind == "audit" and trial in whole and event["event"] in ("reported", "ended"):
            own.append({**event, "trial": trial})
    return own


def curves_of(events: Iterable[Mapping[str, Any]], metric: str) -> dict[int, Curve]:
    """Return the curves that a search's events tell of, by trial, in the order of first reports.

    Args:
        events: the oldest first.
        metric: the one that decides.
    """
    curves: dict[int, Curve] = {}
    for event in events:
        trial = event.get("trial", -1)
        if event["event"] == "reported":
            curve = curves.setdefault(trial, Curve())
            value = float(event["values"][metric])
            curve.reports.append((event["time"], event["epoch"], value))
            curves[trial] = replace(curve, ends_itself=event.get("is_end", False))
        elif event["event"] == "ended":
            final = event["metrics"].get(metric)
            curve = curves.get(trial, Curve())
            curves[trial] = replace(curve, outcome=event["outcome"], final=final and float(final))
    return curves


def play(
    events: Iterable[Mapping[str, Any]],
    metric: str,
    mode: Mode,
    scheduler: Scheduler,
    num_seeds: int = 1,
) -> Played:
    """Return what a scheduler makes of recorded curves.

    Args:
        events: of the search, the oldest first.
        metric: the one that decides.
        mode: `min` or `max`.
        scheduler: fresh.
        num_seeds: trials of a setting, of which the mean decides.
    """
    told = list(events)
    player = _Player(curves_of(told, metric), scheduler)
    for event in told:
        if event["event"] == "reported":
            player.play_next(event["trial"])
        elif event["event"] == "ended" and not player.has_reports(event["trial"]):
            player.leave(event["trial"])
        elif event["event"] == "used_up":
            for missing in range(event["trial"], event["trial"] + event["count"]):
                player.leave(missing)
    return player.result(mode, num_seeds)


@final
class _Player:
    """Plays curves; a trial that pauses keeps its place until it is decided on.

    Args:
        curves: by trial.
        scheduler: fresh.
    """

    def __init__(self, curves: Mapping[int, Curve], scheduler: Scheduler) -> None:
        self._curves = curves
        self._scheduler = scheduler
        self._left = {trial: deque(curve.reports) for trial, curve in curves.items()}
        self._due = dict.fromkeys(curves, 0)
        self._last = dict.fromkeys(curves, 0)
        self._epochs = dict.fromkeys(curves, 0)
        self._ended: dict[int, str] = {}

    def has_reports(self, trial: int) -> bool:
        """Return whether a trial has reported anything."""
        return trial in self._curves and bool(self._curves[trial].reports)

    def leave(self, trial: int) -> None:
        """Play that a trial ends, or never comes, without a report."""
        if trial in self._curves:
            self._ended.setdefault(trial, str(self._curves[trial].outcome))
        self._apply(self._scheduler.leave(trial))

    def play_next(self, trial: int) -> None:
        """Play a trial's next report, now or once it goes on."""
        self._due[trial] += 1
        self._run(trial)

    def result(self, mode: Mode, num_seeds: int) -> Played:
        """Return what came of it, once all is played."""
        for trial in sorted(self._curves):
            self._finish(trial, is_over=True)
        ended = list(self._ended.values())
        return Played(
            epochs=sum(self._epochs.values()),
            num_stopped=ended.count("stop"),
            num_unknown=ended.count("unknown"),
            best=self._best(mode, num_seeds),
        )

    def _best(self, mode: Mode, num_seeds: int) -> tuple[int, float] | None:
        """Return the first trial of the best setting, and its value, or the mean over its seeds."""
        settings: dict[int, list[tuple[int, float]]] = {}
        for trial, curve in sorted(self._curves.items()):
            is_whole = self._ended.get(trial) in ("finished", "finish")
            if is_whole and curve.final is not None:
                settings.setdefault(trial // num_seeds, []).append((trial, curve.final))
        ranked = [
            (num_seeds - len(finals), standing_of(finals[0][0], mean, mode), mean)
            for finals in settings.values()
            for mean in (mean_of([final for _, final in finals]),)
            if not math.isnan(mean)
        ]
        if not ranked:
            return None
        _, (_, _, trial), mean = min(ranked)
        return trial, mean

    def _run(self, trial: int) -> None:
        while self._due[trial] and trial not in self._ended and not self._is_paused(trial):
            self._due[trial] -= 1
            time, epoch, value = self._left[trial].popleft()
            self._last[trial], self._epochs[trial] = time, max(epoch, self._epochs[trial])
            is_end = self._curves[trial].ends_itself and not self._left[trial]
            self._apply(self._scheduler.report(trial, time, value, is_end=is_end))
            self._finish(trial)

    def _is_paused(self, trial: int) -> bool:
        return self._last[trial] > 0 and self._scheduler.pause_at(trial) == self._last[trial]

    def _finish(self, trial: int, *, is_over: bool = False) -> None:
        """End a trial whose curve is at its end: as it ended, or not known where it was cut."""
        if trial in self._ended or self._left[trial]:
            return
        if self._is_paused(trial) and not is_over:
            return
        was = self._curves[trial].outcome
        is_known = was not in _CUT_SHORT
        self._ended[trial] = "unknown" if not is_known else str(was)
        if self._ended[trial] == "stopped_early":
            self._ended[trial] = "finished"
        self._apply(self._scheduler.leave(trial))

    def _apply(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            if verdict.trial in self._ended or verdict.trial not in self._curves:
                continue
            if verdict.action == "go_on":
                self._run(verdict.trial)
                self._finish(verdict.trial)
            else:
                self._ended[verdict.trial] = verdict.action
