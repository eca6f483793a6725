"""The journal of a large search, as its driver leaves it: for what is measured of its pages."""

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from distrain.track.links import NOTE_TAG
from tests.recorded_search import DATASET, LAYOUT, RecordedSearch

NUM_REPORTS: Final = 10
WINNER: Final = 5
METRIC: Final = LAYOUT.metric
_STEPS: Final = 20


def record_search(folder: Path, num_trials: int, num_metrics: int) -> None:
    """Record trials of which three in four are stopped, every fiftieth fails, and one has won.

    Args:
        folder: the journal's.
        num_trials: how many; more than the winner's number.
        num_metrics: of each report.
    """
    chance = random.Random(0)
    with RecordedSearch(folder, LAYOUT, DATASET) as search:
        for trial in range(num_trials):
            _record_trial(search, trial, num_metrics, chance)
        search.events.search({"event": "won", "trial": WINNER})
        note = f"### Trial {WINNER} won: {METRIC} 0.95\n\n[Leaderboard](distrain:leaderboard)"
        search.driver.tags({NOTE_TAG: note})
        search.driver.status("FINISHED")


def _record_trial(
    search: RecordedSearch, trial: int, num_metrics: int, chance: random.Random
) -> None:
    rate = 10 ** chance.uniform(-4, -1)
    search.suggest(trial, train__optimizer__lr=rate, model__hidden=[chance.choice([16, 32, 64])])
    best = 0.95 if trial == WINNER else 0.9 - 0.1 * (math.log10(rate) + 2.5) ** 2
    is_stopped = trial % 4 != 1
    last = 3 if is_stopped else NUM_REPORTS
    values: Mapping[str, float] = {}
    for time in range(1, last + 1):
        value = best * (1 - math.exp(-time))
        others = {f"train/part_{n}": value + chance.gauss(0, 0.01) for n in range(num_metrics - 2)}
        values = {METRIC: value, "train/loss": 1 - value, **others}
        search.report(trial, time, _STEPS * time, **values)
    told = {"epoch": last, "train_s": 1.5 * last}
    if trial % 50 == 7:
        error = {"kind": "train", "message": f"ValueError: no such thing as {trial}"}
        search.end(trial, "failed", _STEPS * last, error=error, **told)
    elif is_stopped:
        search.decide(trial, "stop", f"At epoch 3 its {values[METRIC]:.4g} is rank 17 of 64.")
        search.end(trial, "stopped", _STEPS * last, **told)
    else:
        search.end(trial, "finished", _STEPS * last, metrics=values, **told)
