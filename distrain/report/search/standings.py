"""Who leads a search, since when, and what trials came to at its rungs. Pure.

A setting is the trials that differ in their seed alone; without `tune.num_seeds` each trial is one.
The order is the search's own (`tune.setting.setting_rank`): whole settings by their mean, then
those that were stopped, of which the farther one was let run the better it was found.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard, final

from distrain.config.names import Mode
from distrain.margin import Setting
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView
from distrain.tune.setting import mean_of
from distrain.tune.verdicts import Standing, standing_of


@final
@dataclass(frozen=True)
class Entry:
    """A setting on the leaderboard.

    Attributes:
        trials: its trials, by number.
        score: the mean over those that are whole, else over their last reports; may be nan.
        num_missing: trials of it that are not whole.
        can_win: whether all of its trials have ended, and one at least is whole.
    """

    trials: tuple[TrialView, ...]
    score: float
    num_missing: int
    can_win: bool

    @property
    def setting(self) -> Setting:
        """Return what its whole trials came to."""
        values = (trial.score for trial in self.trials if trial.is_whole)
        return Setting(self.first.number, tuple(value for value in values if value is not None))

    @property
    def std(self) -> float | None:
        """Return the standard deviation over its whole trials; None: it is not known."""
        return self.setting.std

    @property
    def first(self) -> TrialView:
        """Return the trial that stands for it: the first whole one, if there is one."""
        return next((trial for trial in self.trials if trial.is_whole), self.trials[0])

    @property
    def epochs(self) -> int:
        """Return how far the farthest of its trials came."""
        return max(trial.epochs for trial in self.trials)

    def rank(self, mode: Mode) -> tuple[bool, int, int, Standing]:
        """Return what it is sorted by, the best first."""
        standing = standing_of(self.trials[0].number, self.score, mode)
        farther = 0 if self.can_win else -self.epochs
        return not self.can_win, self.num_missing, farther, standing


def leaderboard(search: SearchView) -> list[Entry]:
    """Return the settings that have a score and did not fail, the best first."""
    num_seeds = search.tune.num_seeds
    trials = search.trials
    groups = [trials[start : start + num_seeds] for start in range(0, len(trials), num_seeds)]
    found = [entry for group in groups if (entry := _entry(group, num_seeds)) is not None]
    return sorted(found, key=lambda entry: entry.rank(search.mode))


def winner_of(entries: Sequence[Entry]) -> Entry | None:
    """Return the best whole setting; None: none is whole yet."""
    return entries[0] if entries and entries[0].can_win else None


def _entry(trials: Sequence[TrialView], num_seeds: int) -> Entry | None:
    alive = [trial for trial in trials if trial.kind != "failed" and trial.score is not None]
    whole = [trial.score for trial in alive if trial.is_whole and trial.score is not None]
    scores = whole or [trial.score for trial in alive if trial.score is not None]
    if not scores:
        return None
    return Entry(
        trials=tuple(trials),
        score=mean_of(scores),
        num_missing=num_seeds - len(whole),
        can_win=bool(whole) and all(trial.outcome is not None for trial in trials),
    )


@final
@dataclass(frozen=True)
class Best:
    """A moment at which a search found a better setting.

    Attributes:
        at_s: seconds since it began.
        num_ended: trials that had ended by then, this one among them.
        value: of the setting.
        trial: its first whole trial.
    """

    at_s: float
    num_ended: int
    value: float
    trial: int


def best_so_far(search: SearchView) -> list[Best]:
    """Return the moments at which the best setting changed, in their order."""
    num_seeds = search.tune.num_seeds
    ended = [trial for trial in search.trials if trial.ended_s is not None]
    order = sorted(ended, key=lambda trial: (trial.ended_s or 0.0, trial.number))
    awaited = dict.fromkeys(range(-(-len(search.trials) // num_seeds)), num_seeds)
    found: list[Best] = []
    leading: tuple[bool, int, int, Standing] | None = None
    for count, trial in enumerate(order, 1):
        setting = trial.number // num_seeds
        awaited[setting] -= 1
        group = search.trials[setting * num_seeds : (setting + 1) * num_seeds]
        entry = _entry(group, num_seeds) if awaited[setting] == 0 else None
        if entry is None or not entry.can_win:
            continue
        rank = entry.rank(search.mode)
        if leading is None or rank < leading:
            leading = rank
            assert trial.ended_s is not None
            found.append(Best(trial.ended_s, count, entry.score, entry.first.number))
    return found


@final
@dataclass(frozen=True)
class Rung:
    """A time at which trials were compared.

    Attributes:
        index: from 0.
        time: in epochs or steps.
        num_judged: trials that were compared there.
        num_passed: those that went on as they were.
        num_taking_over: those that went on from the state of another.
        num_stopped: those that ended there.
        cut: the value that had to be reached, the hardest of all; None: there was none.
        best: trial and value of the best; None: no value is a number.
    """

    index: int
    time: int
    num_judged: int
    num_passed: int
    num_taking_over: int
    num_stopped: int
    cut: float | None
    best: tuple[int, float] | None


def rungs(search: SearchView) -> list[Rung]:
    """Return the rungs at which the scheduler decided anything, from the first."""
    at: dict[tuple[int, int], list[tuple[TrialView, float | None, float | None, str]]] = {}
    for trial in search.trials:
        for one in trial.verdicts:
            if one["rung"] is not None:
                told = (trial, one["value"], one["cut"], str(one["action"]))
                at.setdefault((one["rung"], one["time"]), []).append(told)
    return [_rung(*key, judged, search.mode) for key, judged in sorted(at.items())]


def _rung(
    index: int,
    time: int,
    judged: Sequence[tuple[TrialView, float | None, float | None, str]],
    mode: Mode,
) -> Rung:
    num_stopped = sum(action in ("stop", "finish") for *_, action in judged)
    num_taking_over = sum(action == "copy" for *_, action in judged)
    values = [(trial.number, value) for trial, value, _, _ in judged if _is_number(value)]
    cuts = [cut for _, _, cut, _ in judged if _is_number(cut)]
    return Rung(
        index=index,
        time=time,
        num_judged=len(judged),
        num_passed=len(judged) - num_stopped - num_taking_over,
        num_taking_over=num_taking_over,
        num_stopped=num_stopped,
        cut=_hardest(cuts, mode),
        best=min(values, key=lambda at: standing_of(at[0], at[1], mode), default=None),
    )


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and not math.isnan(value)


def _hardest(cuts: Iterable[float], mode: Mode) -> float | None:
    """Return the cut that was hardest to reach: with asha it rises as trials come."""
    return (max if mode == "max" else min)(cuts, default=None)
