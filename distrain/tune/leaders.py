"""The trials of a search that a person looks at while it runs: the best few, and those that run.

In: the trials as they are. Out: plain values for a display. It takes about half a microsecond a
trial, so who shows it asks now and then, and not at every event.
"""

import heapq
import math
from collections.abc import Sequence
from typing import Any, Final

from distrain.config.names import Mode
from distrain.tune.trials import Trial
from distrain.tune.verdicts import Standing, standing_of

MOST_BEST: Final = 5
MOST_RUNNING: Final = 8


def leading_trials(
    trials: Sequence[Trial], best: Trial | None, metric: str, mode: Mode
) -> dict[str, Any]:
    """Return the best few trials, and the first few of those that run.

    A trial that is whole stands by its final value, any other by what it reported last: until the
    first has ended, that is all there is.

    Args:
        trials: all of them.
        best: the one that would win now; None: none is whole.
        metric: what decides.
        mode: whether less or more is better.

    Returns:
        `best` and `running`, each a list of rows of which `running` leaves out what is among the
        best, and `num_running`. A row is `trial`, `state`, `epoch`, `value`, `train_s`,
        `assignment` and `is_best`.
    """

    def standing(trial: Trial) -> Standing:
        return standing_of(trial.number, _value(trial, metric), mode)

    known = (t for t in trials if t.reports and (t.is_whole or t.outcome != "failed"))
    leaders = heapq.nsmallest(MOST_BEST, known, key=standing)
    running = [trial for trial in trials if trial.state == "running"]
    others = [trial for trial in running if trial not in leaders]
    return {
        "best": [_row(trial, metric, is_best=trial is best) for trial in leaders],
        "running": [_row(trial, metric, is_best=False) for trial in others[:MOST_RUNNING]],
        "num_running": len(running),
    }


def _value(trial: Trial, metric: str) -> float:
    if trial.is_whole:
        return trial.metrics.get(metric, math.nan)
    return trial.reports[-1][1] if trial.reports else math.nan


def _row(trial: Trial, metric: str, *, is_best: bool) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.outcome or trial.state,
        "epoch": trial.epoch,
        "value": _value(trial, metric),
        "train_s": trial.train_s,
        "assignment": dict(trial.assignment),
        "is_best": is_best,
    }
