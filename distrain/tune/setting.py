"""A setting: the trials that differ in their seed alone, and what they come to together. Pure."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from distrain.config.names import Mode
from distrain.tune.told import Told, ToldState
from distrain.tune.trials import Trial
from distrain.tune.verdicts import Standing, standing_of

SEED: Final = "seed"
_BEFORE_FAILED: Final[tuple[ToldState, ...]] = ("running", "finished", "stopped")


def settings_told(history: Sequence[Told], num_seeds: int) -> list[Told]:
    """Return what a sampler of settings is told, from what is known of trials.

    Args:
        history: every trial before the one that is asked for, from 0.
        num_seeds: trials of a setting; 1: the history as it is.
    """
    if num_seeds == 1:
        return [*history]
    starts = range(0, len(history), num_seeds)
    return [setting_told(history[start : start + num_seeds], num_seeds) for start in starts]


def setting_told(trials: Sequence[Told], num_seeds: int) -> Told:
    """Return what a sampler of settings is told of one of them.

    Args:
        trials: what is known of its trials, from the first on.
        num_seeds: how many there are of it in the end.
    """
    states = [told.state for told in trials]
    state: ToldState = next((one for one in _BEFORE_FAILED if one in states), "failed")
    finals = [told.final for told in trials if told.final is not None]
    return Told(
        trials[0].trial // num_seeds,
        without_seed(trials[0].assignment),
        _mean_values([told for told in trials if told.state != "failed"]),
        mean_of(finals) if finals else None,
        state,
    )


def setting_of(trials: Sequence[Trial], number: int, num_seeds: int) -> Sequence[Trial]:
    """Return the trials that differ from one in their seed alone, itself among them.

    Args:
        trials: all of a search, by number.
        number: the one's.
        num_seeds: trials of a setting.
    """
    first = number - number % num_seeds
    return trials[first : first + num_seeds]


def setting_rank(
    trials: Sequence[Trial], metric: str, mode: Mode, num_seeds: int
) -> tuple[tuple[int, Standing], float]:
    """Return what a setting is sorted by among others, the best first, and its mean.

    Args:
        trials: all of its trials, which have ended; at least one is whole.
        metric: the one that decides.
        mode: whether less or more is better.
        num_seeds: trials of a setting.
    """
    values = [trial.metrics.get(metric, math.nan) for trial in trials if trial.is_whole]
    mean = mean_of(values)
    standing = standing_of(trials[0].number // num_seeds, mean, mode)
    return (num_seeds - len(values), standing), mean


def mean_of(values: Collection[float]) -> float:
    """Return the mean, rounded once, so that it is the same in any order."""
    total = math.fsum(values) if all(map(math.isfinite, values)) else sum(values)
    return total / len(values)


def _mean_values(trials: Sequence[Told]) -> list[tuple[int, float]]:
    """Return the means at the times that all of the trials have reported."""
    curves = [dict(told.values) for told in trials]
    if not curves:
        return []
    times = sorted(set.intersection(*(set(curve) for curve in curves)))
    return [(time, mean_of([curve[time] for curve in curves])) for time in times]


def without_seed(assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Return a setting: a trial's values without its seed."""
    return {key: value for key, value in assignment.items() if key != SEED}
