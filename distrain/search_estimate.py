"""`tune --dry-run`: how long a search takes, told from some of its own trials, timed for a moment.

    ask the sampler for trials, as the search will; take some of them by chance
    build each on the prepared data and time a few of its steps: seconds of an epoch
    their mean and their spread, and the epochs that the scheduler grants each trial: an interval

Trials of one space may differ a hundredfold in what an epoch takes. Where a few of them get most of
the epochs, as with halving, the interval is wider by what these few may happen to be like.
"""

import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from distrain.config.settings import Settings
from distrain.config.tune import GridSearch
from distrain.cost import cost_of, gpu_hours
from distrain.data.prepared import PreparedDataset
from distrain.errors import first_line
from distrain.estimate import UNLIKE, is_gpu_here, timed_steps
from distrain.estimates import Estimate, Probe, SearchEstimate
from distrain.train.determinism import reproducible
from distrain.train.from_settings import job_from_settings
from distrain.train.placement import Placement
from distrain.train.setup import set_up
from distrain.train.world import World
from distrain.tune.earlier import Earlier
from distrain.tune.extent import epochs_afterwards, epochs_between, epochs_of_settings
from distrain.tune.seeds import trial_sampler
from distrain.tune.space import Space

NUM_PROBES: Final = 8
PROBE_S: Final = 1.0
"""How long steps of one trial are timed; the step that is running then is waited for."""
ALL_PROBES_S: Final = 15.0
"""How long, of all of them together; at least two are."""
_NUM_ASKED: Final = 64
_MAX_POINTS: Final = 2_000
_LEAST_FOR_INTERVAL: Final = 4
# Student's t, two-sided, 95 %, by degrees of freedom.
_T: Final = {3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}


def estimate_of_search(
    settings: Settings,
    trial: Estimate,
    placement: Placement,
    dataset: PreparedDataset,
    earlier: Earlier | None = None,
) -> SearchEstimate:
    """Return what a search would do.

    Args:
        settings: resolved, with a `tune` section and paths expanded.
        trial: what the configuration as it is written would do as a trial.
        placement: trials at a time, and what each worker gets.
        dataset: the prepared dataset.
        earlier: what is taken over from an earlier search; None: nothing.
    """
    tune = settings.tune
    assert tune is not None
    assert tune.num_trials is not None
    least, most = epochs_between(settings, trial.steps_per_epoch)
    probes: list[Probe] = []
    if not dataset.is_streamed:
        probes = probe_trials(settings, dataset, earlier, has_gpu=placement.gpu > 0)
    together = replace(placement, num_workers=_num_at_a_time(placement))
    found = search_time(settings, probes, trial.steps_per_epoch, together)
    price = settings.cluster.price_per_gpu_hour if is_gpu_here() else None
    gpus = together.gpu * together.num_workers
    return SearchEstimate(
        trial=trial,
        num_trials=tune.num_trials,
        epochs_at_most=most,
        epochs_at_least=least,
        epochs_afterwards=epochs_afterwards(settings, trial.steps_per_epoch),
        num_concurrent=placement.num_groups if placement.is_bounded else None,
        at_most_s=found.at_most_s,
        at_least_s=found.at_least_s,
        cost_at_most=found.at_most_s and cost_of(gpu_hours(gpus * found.at_most_s), price),
        cost_at_least=found.at_least_s and cost_of(gpu_hours(gpus * found.at_least_s), price),
        workers_per_trial=placement.group_size,
        how=_with_place(found.how, placement),
        probes=tuple(probes),
    )


def _with_place(how: str, placement: Placement) -> str:
    if not how:
        return how
    alone = "" if placement.is_bounded else "; as if one trial ran at a time"
    unlike = UNLIKE if placement.gpu and not is_gpu_here() else ""
    return f"{how}{alone}{unlike}"


def _num_at_a_time(placement: Placement) -> int:
    """Return how many workers train at a time; where that is not known, those of one trial."""
    if not placement.is_bounded:
        return placement.group_size
    return placement.num_workers


@final
@dataclass(frozen=True)
class SearchTime:
    """How long a search takes.

    Attributes:
        at_least_s: the interval's lower end, where the scheduler stops as many as it can.
        at_most_s: its upper end, where it stops none.
        how: how it was got, in words.
    """

    at_least_s: float | None
    at_most_s: float | None
    how: str


def probe_trials(
    settings: Settings, dataset: PreparedDataset, earlier: Earlier | None = None, *, has_gpu: bool
) -> list[Probe]:
    """Time some of a search's trials, each for a moment, in this process.

    Args:
        settings: resolved, with a `tune` section and paths expanded.
        dataset: the prepared dataset.
        earlier: what is taken over from an earlier search; None: nothing.
        has_gpu: whether trials get a GPU.
    """
    space = Space.of(settings)
    asked = _asked(settings, space, earlier)
    chosen = sorted(random.Random(settings.seed).sample(range(len(asked)), _num_of(asked)))
    probes: list[Probe] = []
    started = time.perf_counter()
    for number in chosen:
        trial = number * _num_seeds(settings)
        probes.append(_probe(trial, asked[number], settings, space, dataset, has_gpu=has_gpu))
        if len(probes) > 1 and time.perf_counter() - started > ALL_PROBES_S:
            break
    return probes


def _num_of(asked: Sequence[Any]) -> int:
    return min(NUM_PROBES, len(asked))


def _asked(settings: Settings, space: Space, earlier: Earlier | None) -> list[dict[str, Any]]:
    """Return settings as the search begins with them; of a grid all: it varies its last key."""
    tune = settings.tune
    assert tune is not None
    assert tune.num_trials is not None
    is_grid = isinstance(tune.search_alg, GridSearch)
    num_seeds = _num_seeds(settings)
    count = min(tune.num_trials, num_seeds * (_MAX_POINTS if is_grid else _NUM_ASKED))
    return trial_sampler(settings, space, earlier).ask(0, count, [])[::num_seeds]


def _num_seeds(settings: Settings) -> int:
    assert settings.tune is not None
    return settings.tune.num_seeds


def _probe(
    trial: int,
    assignment: dict[str, Any],
    settings: Settings,
    space: Space,
    dataset: PreparedDataset,
    *,
    has_gpu: bool,
) -> Probe:
    world = World.single("auto" if has_gpu else "cpu")
    try:
        job = job_from_settings(space.settings_of(settings, assignment), dataset, Path("unused"))
        # Compiling takes longer than anybody waits for an estimate.
        with reproducible(job.threads, world.torch_device):
            setup = set_up(replace(job, compile=False), world)
            step_s = statistics.fmean(timed_steps(setup, PROBE_S))
            epoch_s = step_s * setup.plan.steps_per_epoch
    except Exception as error:  # told: such a trial fails in the search too, and ends it not
        return Probe(trial, assignment, None, f"{type(error).__name__}: {first_line(error)}")
    return Probe(trial, assignment, epoch_s)


def search_time(
    settings: Settings, probes: Sequence[Probe], steps_per_epoch: int, together: Placement
) -> SearchTime:
    """Return how long a search takes by what was probed of it.

    Args:
        settings: resolved, with a `tune` section.
        probes: some of its trials.
        steps_per_epoch: of the configuration as it is written.
        together: the workers that train at a time, in all trials together.
    """
    times = [probe.epoch_s for probe in probes if probe.epoch_s is not None]
    if not times:
        return SearchTime(None, None, _how(probes))
    least, most = epochs_of_settings(settings, steps_per_epoch)
    ends = [_end(least, times, -1), _end(most, times, 1)]
    limit_s = _limit_s(settings, together)
    ends = [min(end / together.num_workers, limit_s) for end in ends]
    return SearchTime(ends[0], ends[1], _how(probes))


def _limit_s(settings: Settings, together: Placement) -> float:
    """Return the seconds after which a budget ends the search."""
    assert settings.tune is not None
    budget, gpus = settings.tune.budget, together.gpu * together.num_workers
    by_clock = math.inf if budget.wall_s is None else budget.wall_s
    by_gpus = budget.gpu_hours * 3600 / gpus if budget.gpu_hours and gpus else math.inf
    return min(by_clock, by_gpus)


def _end(epochs: Sequence[float], times: Sequence[float], sign: int) -> float:
    """Return one end of the interval of what all epochs take, in seconds of one worker.

    What an epoch takes is drawn for each setting by itself, and the mean of all is known from a
    few: so the variance of the sum is s^2 (sum e^2 + (sum e)^2 / n).

    Args:
        epochs: e: of each setting, with all of its seeds.
        times: seconds of an epoch of n trials.
        sign: -1 for the lower end, 1 for the upper one.
    """
    total, count = sum(epochs), len(times)
    extreme = total * (min(times) if sign < 0 else max(times))
    if count < _LEAST_FOR_INTERVAL:
        return extreme
    spread = statistics.stdev(times) * math.sqrt(sum(e * e for e in epochs) + total**2 / count)
    end = total * statistics.fmean(times) + sign * _T[count - 1] * spread
    return max(end, extreme) if sign < 0 else end


def _how(probes: Sequence[Probe]) -> str:
    times = [probe.epoch_s for probe in probes if probe.epoch_s is not None]
    failed = [probe for probe in probes if probe.error]
    told = []
    if times:
        is_known = len(times) >= _LEAST_FOR_INTERVAL
        kind = "interval that holds about 9 times in 10" if is_known else "shortest to longest"
        trials = "trial" if len(times) == 1 else "trials taken by chance"
        told.append(
            f"{kind}, from some steps of {len(times)} {trials}: "
            f"{min(times):.3g} to {max(times):.3g} s an epoch on one worker"
        )
    if failed:
        told.append(
            f"{len(failed)} of {len(probes)} trials that were tried failed, of {failed[0].error}"
        )
    return "; ".join(told)
