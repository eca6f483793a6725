"""`--dry-run`: what a run, or a trial, would do, found out without starting anything.

Where the data is prepared already, rows and parameters are exact, and a few steps are timed in this
process, for 20 s or one step. Where it is not, rows are estimated from the source's head, and the
rest is found out on its first 65,536 rows, prepared in this process. Of a source no more is read
than its files' names and sizes, those rows, and the footers of a few files.
"""

import itertools
import math
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from distrain.config.defaults import effective_test_fraction
from distrain.config.settings import Settings
from distrain.cost import cost_of, gpu_hours
from distrain.data.checking import SourceSummary
from distrain.data.files import Listing
from distrain.data.prepared import PreparedDataset
from distrain.data.shards import SPLITS
from distrain.errors import ConfigError, DataError, first_line
from distrain.estimates import Estimate
from distrain.train.determinism import reproducible
from distrain.train.from_settings import job_from_settings
from distrain.train.job import TrainJob
from distrain.train.placement import Placement
from distrain.train.preflight import Preflight, try_first_batch
from distrain.train.setup import Setup, set_up
from distrain.train.step import Wishes
from distrain.train.sums import num_vectors
from distrain.train.world import World

TIMED_STEPS: Final = 10
WARM_UP_STEPS: Final = 3
UNLIKE: Final = "; timed on a CPU, though workers have GPUs"
TIMED_S: Final = 20.0
"""How long steps of a run are timed; the one that is running then is waited for."""
_OPTIMIZER_STATES = {"sgd": 1, "adam": 2, "adamw": 2, "rmsprop": 2}
_MOST_STATES = 2


@final
@dataclass(frozen=True)
class Where:
    """Where a run would run, and be recorded.

    Attributes:
        placement: the workers.
        place: where they are, in words.
        tracking: where it is recorded, in words.
        num_at_a_time: how many workers the machine has cores, or GPUs, for; None: all of them.
    """

    placement: Placement
    place: str
    tracking: str
    num_at_a_time: int | None = None


def estimate_run(
    settings: Settings,
    summary: SourceSummary,
    dataset: PreparedDataset | None,
    where: Where,
) -> Estimate:
    """Return what a run would do.

    Args:
        settings: with defaults resolved and paths expanded.
        summary: what a look at the source has told.
        dataset: the prepared data; None: it is not prepared.
        where: it would run.

    Raises:
        DistrainError: the model does not fit the prepared data.
    """
    how, unlike = "prepared", ""
    known: _Known | None = None
    if dataset is None:
        rows = _estimated_rows(settings, summary)
        per_epoch = max(1, math.ceil(rows["train"] / settings.train.global_batch_size))
        how, unlike = "not looked at yet; rows are estimated", "not timed"
        if summary.listings:
            known, unlike = _look_at_sample(settings, summary.listings[0], where.placement)
            how = "not prepared yet; rows are estimated"
    else:
        rows = {split: dataset.split(split).num_rows for split in SPLITS}
        is_timed = not dataset.is_streamed
        known = _look_closer(settings, dataset, where.placement, is_timed=is_timed)
        per_epoch = known.steps_per_epoch
    steps = settings.train.steps or per_epoch * (settings.train.epochs or 1)
    if settings.data.ingest == "stream":
        how += "; training rows are streamed from the files"
    timed = known.timed if known else None
    took = train_time(timed, settings.train.logical_shards, steps, where) if timed else None
    price = settings.cluster.price_per_gpu_hour if timed and timed.is_on_gpu else None
    gpus, fewest = (
        where.placement.gpu * count
        for count in (where.placement.num_workers, where.placement.min_workers)
    )
    return Estimate(
        data=f"{_told_source(settings, summary)}, {how}",
        rows=rows,
        steps=steps,
        steps_per_epoch=per_epoch,
        num_parameters=known and known.num_parameters,
        placement=_placement_text(where.placement, where.place),
        worker_bytes=known and known.worker_bytes,
        tracking=where.tracking,
        train_s=took and took.mean_s,
        train_s_low=took and took.low_s,
        train_s_high=took and took.high_s,
        how=f"{took.how}; {unlike}" if took and unlike else took.how if took else unlike,
        cost=took and cost_of(gpu_hours(gpus * took.mean_s), price),
        cost_low=took and cost_of(gpu_hours(gpus * took.low_s), price),
        cost_high=took and cost_of(gpu_hours(fewest * took.high_s), price),
    )


def _told_source(settings: Settings, summary: SourceSummary) -> str:
    if settings.data.dataset is not None:
        return f"Dataset {settings.data.dataset.target}"
    size = f"{summary.listings[0].num_bytes / 2**20:,.1f} MiB"
    return f"{size}, {len(summary.columns)} columns"


@final
@dataclass(frozen=True)
class _Known:
    """What prepared data tells of a run.

    Attributes:
        steps_per_epoch: of the plan.
        num_parameters: of the model.
        worker_bytes: memory of a worker's state.
        timed: some steps; None for rows that are streamed, which nobody reads for an estimate.
    """

    steps_per_epoch: int
    num_parameters: int
    worker_bytes: int
    timed: "Timed | None"


def _look_closer(
    settings: Settings, dataset: PreparedDataset, placement: Placement, *, is_timed: bool
) -> _Known:
    job = job_from_settings(settings, dataset, Path("unused"))
    preflight = try_first_batch(job, is_for_gpu=placement.gpu > 0)
    timed = None
    if is_timed:
        world = World.single("auto" if placement.gpu else "cpu")
        # Compiling takes longer than anybody waits for an estimate.
        with reproducible(job.threads, world.torch_device):
            steps_s = timed_steps(set_up(replace(job, compile=False), world), TIMED_S)
        timed = Timed(tuple(steps_s), is_on_gpu=world.torch_device.type != "cpu")
    return _Known(
        steps_per_epoch=preflight.steps_per_epoch,
        num_parameters=preflight.num_parameters,
        worker_bytes=worker_bytes(job, preflight, placement.num_workers),
        timed=timed,
    )


def _look_at_sample(
    settings: Settings, listing: Listing, placement: Placement
) -> tuple["_Known | None", str]:
    """Return what the source's first rows tell of a run, and in words how far that holds."""
    # Ray Data takes seconds to import.
    from distrain.data.sample import sample_dataset

    try:
        with sample_dataset(settings.data, listing) as dataset:
            is_timed = settings.data.ingest != "stream"
            known = _look_closer(settings, dataset, placement, is_timed=is_timed)
            rows = sum(dataset.split(split).num_rows for split in SPLITS)
    # What the first rows lack, such as those of validation, the others may have.
    except (DataError, ConfigError, OSError) as fault:
        return None, f"not timed, the data not being prepared: {first_line(fault)}"
    return known, f"found out on the first {rows:,} rows, the data not being prepared"


def timed_steps(setup: Setup, limit_s: float) -> list[float]:
    """Return the seconds of some steps that one worker takes alone, but for the first ones.

    Args:
        setup: of that worker.
        limit_s: after which no further step is taken; of one step at least it is told.
    """
    ends = [time.perf_counter()]
    count = min(WARM_UP_STEPS + TIMED_STEPS, setup.total_steps)
    with setup.loader.batches(0, count) as batches:
        for batch in batches:
            setup.stepper.step(batch, 0.0, Wishes(stop=False, checkpoint=False))
            ends.append(time.perf_counter())
            if ends[-1] - ends[0] > limit_s:
                break
    taken = [end - start for start, end in itertools.pairwise(ends)]
    return taken[min(WARM_UP_STEPS, len(taken) - 1) :]


@final
@dataclass(frozen=True)
class Timed:
    """Steps of one worker that had no other beside it.

    Attributes:
        steps_s: seconds of each.
        is_on_gpu: whether a GPU took them.
    """

    steps_s: tuple[float, ...]
    is_on_gpu: bool


@final
@dataclass(frozen=True)
class TrainTime:
    """What a run's training steps take.

    Attributes:
        mean_s: seconds, if all go on as those that were timed.
        low_s: the lower end of an interval.
        high_s: its upper end.
        how: how it was got, and what is not in it, in words.
    """

    mean_s: float
    low_s: float
    high_s: float
    how: str


def train_time(timed: Timed, logical_shards: int, num_steps: int, where: Where) -> TrainTime:
    """Return what a run's steps take by what some of them took on one worker.

    A worker takes whole logical shards, and a step lasts as long as that of the worker with the
    most. For the lower end all steps are as quick as the quickest of those that were timed. For
    the upper end they are as slow as the slowest, there are as few workers as there may be, and no
    more of them get ahead at a time than the machine has cores, or GPUs, for.

    Args:
        timed: the steps.
        logical_shards: parts of a step.
        num_steps: of the run.
        where: it would run.
    """
    placement = where.placement
    quick, slow = min(timed.steps_s), max(timed.steps_s)
    whole = _share(logical_shards, placement.num_workers) * num_steps
    least = max(1, min(placement.min_workers, where.num_at_a_time or placement.min_workers))
    workers = "" if placement.num_workers == 1 else _sharing_text(placement.num_workers, least)
    unlike = UNLIKE if placement.gpu and not timed.is_on_gpu else ""
    took = f"{quick * 1000:.3g} to {slow * 1000:.3g} ms on one worker"
    return TrainTime(
        statistics.fmean(timed.steps_s) * whole,
        quick * whole,
        slow * _share(logical_shards, least) * num_steps,
        f"from the quickest to the slowest step of {len(timed.steps_s)}, {took}{workers}; "
        f"without start, evaluation, checkpoints and the exchange between workers{unlike}",
    )


def _share(logical_shards: int, num_workers: int) -> float:
    """Return which part of a step the worker has that has most of it."""
    return -(-logical_shards // num_workers) / logical_shards


def _sharing_text(num_workers: int, least: int) -> str:
    return f", shared by {num_workers} workers" + (
        "" if least == num_workers else f" that gain as much as {least} to {num_workers}"
    )


def is_gpu_here() -> bool:
    """Return whether steps that are for a GPU are timed on one."""
    return World.single("auto").torch_device.type != "cpu"


def worker_bytes(job: TrainJob, preflight: Preflight, num_workers: int) -> int:
    """Return the bytes of float32 vectors of the parameters' length that a worker keeps.

    Of a sharded model it keeps a share of each, and for a while all of a block: its parameters,
    once as they arrive, and its gradients, once as they leave. But it begins with the whole model,
    which it builds to cut it up, and rank zero ends with the whole model beside its share; both on
    the CPU, also where training is on a GPU.

    Args:
        job: the run.
        preflight: what is known of its model.
        num_workers: how many share it.
    """
    states = _OPTIMIZER_STATES.get(str(job.optimizer.get("name")), _MOST_STATES)
    copies = sum((job.restore_best, job.ema is not None))
    if job.strategy == "fsdp":
        share = -(-preflight.num_parameters // num_workers)
        training = share * (2 + states + copies) + 4 * preflight.largest_block
        ending = share * (1 + states + copies) + preflight.num_parameters
        return 4 * max(training, ending)
    partial_sums = num_vectors(job.logical_shards, num_workers, job.reduction)
    return 4 * preflight.num_parameters * (2 + states + partial_sums + copies)


def _estimated_rows(settings: Settings, summary: SourceSummary) -> dict[str, int]:
    total = summary.num_rows
    split = settings.data.split
    validation = round(total * split.validation)
    test = round(total * effective_test_fraction(settings.data))
    train = total - validation - test
    return {"train": train, "validation": validation, "test": test + summary.num_test_rows}


def _placement_text(placement: Placement, place: str) -> str:
    gpu = f" and {placement.gpu:g} GPU" if placement.gpu else ""
    return f"{placement.workers_text} with {placement.cpu:g} CPU{gpu} each on {place}"
