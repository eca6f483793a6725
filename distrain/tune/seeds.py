"""Several seeds per setting: each is a trial, and what decides sees their mean. Pure.

The trials of setting k are k * num_seeds and those behind it. Sampler and scheduler deal with
settings alone, in whose place they are given trials:

- A sampler is told the mean over a setting's whole trials, and proposes settings.
- A scheduler is told the mean at each time, once all the setting's living trials have reported it;
  its verdict holds for all of them. So a setting is not kept for one lucky seed, nor compared with
  others by fewer seeds than they have; and as a mean does not depend on the order in which trials
  come, what decides on whole rungs decides alike on any number of slots.
- The best is the setting with the best mean, among those with most whole trials: a seed that fails,
  or is missing because the budget was spent, makes no mean better.

Sources: Henderson et al. 2018 (one seed misleads), Bouthillier et al. 2021 (what varies belongs
into the comparison).
"""

import operator
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, final

from distrain.config.settings import Settings
from distrain.tune.confirm import other_seeds
from distrain.tune.earlier import Earlier
from distrain.tune.samplers import Sampler, build_sampler
from distrain.tune.schedulers import Scheduler, build_scheduler
from distrain.tune.setting import SEED, mean_of, setting_told
from distrain.tune.space import Space
from distrain.tune.told import Told
from distrain.tune.verdicts import Verdict

_TRIAL: Final = re.compile(r"\btrial(s?)\b")


@final
class SeededSampler:
    """A sampler of trials, in front of one of settings.

    Args:
        sampler: of settings.
        seed: the first of each setting; the others follow it.
        num_seeds: trials of a setting.
    """

    def __init__(self, sampler: Sampler, seed: int, num_seeds: int) -> None:
        self._sampler = sampler
        self._seeds = other_seeds(seed, num_seeds)
        self._known: list[tuple[Sequence[Told], Told]] = []

    def ask(self, number: int, count: int, history: Sequence[Told]) -> list[dict[str, Any]]:
        """Return the assignments of these trials, each a setting's with a seed."""
        num_seeds = len(self._seeds)
        first = number // num_seeds
        asked = self._sampler.ask(first, count // num_seeds, self._settings_told(history))
        return [{**setting, SEED: seed} for setting in asked for seed in self._seeds]

    def _settings_told(self, history: Sequence[Told]) -> list[Told]:
        """Return what is told of settings; of one that is over it is what was told before.

        A setting's values stay one object: by that a sampler knows a history that has only grown.
        """
        num_seeds = len(self._seeds)
        for setting, start in enumerate(range(0, len(history), num_seeds)):
            trials = history[start : start + num_seeds]
            before = self._known[setting] if setting < len(self._known) else None
            if before is not None and _is_settled(trials, before[0]):
                continue
            told = setting_told(trials, num_seeds)
            if before is not None and before[0][0].assignment is trials[0].assignment:
                told = replace(told, assignment=before[1].assignment)
            self._known[setting : setting + 1] = [(trials, told)]
        return [told for _, told in self._known[: -(-len(history) // num_seeds)]]


def _is_settled(trials: Sequence[Told], before: Sequence[Told]) -> bool:
    """Return whether the trials of a setting are over, and were so before."""
    is_same = len(trials) == len(before) and all(map(operator.is_, trials, before))
    return is_same and all(told.state != "running" for told in trials)


@final
class BySetting:
    """A scheduler of trials, in front of one of settings.

    Args:
        scheduler: of settings.
        num_seeds: trials of a setting.
    """

    def __init__(self, scheduler: Scheduler, num_seeds: int) -> None:
        self._scheduler = scheduler
        self._num_seeds = num_seeds
        self._values: dict[int, dict[int, dict[int, float]]] = {}  # by setting, time, trial
        self._last_time: dict[int, int] = {}
        self._left: dict[int, set[int]] = {}
        self._ending: set[int] = set()
        self._is_by_batches = scheduler.num_wanted(0) > 1

    def num_wanted(self, num_suggested: int) -> int:
        """Return how many more trials may be suggested: those of whole settings."""
        # A verdict on a setting may decide a batch while one of its trials has yet to end.
        if self._is_by_batches and self._ending:
            return 0
        return self._scheduler.num_wanted(num_suggested // self._num_seeds) * self._num_seeds

    def pause_at(self, trial: int) -> int | None:
        """Return the time at which the trial's setting is compared; None: it has left that."""
        if trial in self._left.get(trial // self._num_seeds, ()):
            return None
        return self._scheduler.pause_at(trial // self._num_seeds)

    def report(self, trial: int, time: int, value: float, *, is_end: bool = False) -> list[Verdict]:
        """Take in a value; return the verdicts that the mean of its setting leads to."""
        setting = trial // self._num_seeds
        left = self._left.setdefault(setting, set())
        if trial in left:
            return []
        if time > self._last_time.get(setting, 0):
            self._values.setdefault(setting, {}).setdefault(time, {}).setdefault(trial, value)
        if is_end:
            left.add(trial)
            self._ending.add(trial)
        return self._tell(setting)

    def saved(self, trial: int) -> list[Verdict]:  # noqa: ARG002 the interface's
        """Return nothing: what decides by saved states takes no settings of several seeds."""
        return []

    def leave(self, trial: int) -> list[Verdict]:
        """Await a trial no longer; return the verdicts that waited for it alone."""
        setting = trial // self._num_seeds
        left = self._left.setdefault(setting, set())
        if trial in left and trial not in self._ending:
            return []
        left.add(trial)
        self._ending.discard(trial)
        verdicts = self._tell(setting)
        if len(left) == self._num_seeds and self._ending.isdisjoint(left):
            verdicts += self._of_trials(self._scheduler.leave(setting))
        return verdicts

    def _tell(self, setting: int) -> list[Verdict]:
        """Tell the means of the times that all living trials have reported, the earliest first."""
        at_times, left = self._values.get(setting, {}), self._left.get(setting, set())
        living = {trial for trial in self._trials(setting) if trial not in left}
        verdicts: list[Verdict] = []
        for time in sorted(at_times):
            if not living <= at_times[time].keys():
                break
            self._last_time[setting] = time
            mean = mean_of(at_times.pop(time).values())
            is_end = not living and not at_times
            verdicts += self._scheduler.report(setting, time, mean, is_end=is_end)
        return self._of_trials(verdicts)

    def _of_trials(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Return verdicts on settings as verdicts on each of their trials that has not left."""
        found: list[Verdict] = []
        for verdict in verdicts:
            setting = verdict.trial
            left = self._left.setdefault(setting, set())
            told = _TRIAL.sub(r"setting\1", verdict.text)
            text = f"Setting {setting}, by the mean over {self._num_seeds} seeds: {told}"
            trials = [trial for trial in self._trials(setting) if trial not in left]
            found += [replace(verdict, trial=trial, text=text) for trial in trials]
            if verdict.action != "go_on":
                left.update(trials)
                self._values.pop(setting, None)
        return found

    def _trials(self, setting: int) -> range:
        first = setting * self._num_seeds
        return range(first, first + self._num_seeds)


def trial_scheduler(settings: Settings, num_trials: int) -> Scheduler:
    """Return the scheduler of a search's trials, by their settings where there are several seeds.

    Args:
        settings: resolved, with a `tune` section.
        num_trials: how many trials the search has at most.
    """
    assert settings.tune is not None
    num_seeds = settings.tune.num_seeds
    scheduler = build_scheduler(settings, num_trials // num_seeds)
    return scheduler if num_seeds == 1 else BySetting(scheduler, num_seeds)


def trial_sampler(settings: Settings, space: Space, earlier: Earlier | None = None) -> Sampler:
    """Return the sampler of a search's trials, of several seeds a setting where that is asked for.

    Args:
        settings: as for `trial_scheduler`.
        space: what varies.
        earlier: what is taken over from an earlier search; None: nothing.
    """
    assert settings.tune is not None
    sampler, num_seeds = build_sampler(settings, space, earlier), settings.tune.num_seeds
    return sampler if num_seeds == 1 else SeededSampler(sampler, settings.seed, num_seeds)
