"""`--dry-run`: what a run, or a trial, would do, found out without starting anything.

Where the data is prepared already, rows and parameters are exact, and a few steps are timed in this
process. Where it is not, rows are estimated from the source's head, and the rest is left open.
"""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from distrain.config.defaults import effective_test_fraction
from distrain.config.settings import Settings
from distrain.data.checking import SourceSummary
from distrain.data.prepare import find_prepared
from distrain.data.prepared import PreparedDataset
from distrain.data.shards import SPLITS
from distrain.results import Estimate
from distrain.train.determinism import reproducible
from distrain.train.from_settings import job_from_settings
from distrain.train.job import TrainJob
from distrain.train.placement import Placement
from distrain.train.setup import Preflight, Setup, set_up, try_first_batch
from distrain.train.step import Wishes
from distrain.train.sums import num_vectors
from distrain.train.world import World

TIMED_STEPS = 10
WARM_UP_STEPS = 3
_OPTIMIZER_STATES = {"sgd": 1, "adam": 2, "adamw": 2, "rmsprop": 2}


def estimate_run(
    settings: Settings,
    summary: SourceSummary,
    *,
    cache: Path | str,
    placement: Placement,
    place: str,
    tracking: str,
) -> Estimate:
    """Return what a run would do.

    Args:
        settings: with defaults resolved and paths expanded.
        summary: what a look at the source has told.
        cache: the folder of prepared data, or its URI.
        placement: the workers.
        place: where they would run, in words.
        tracking: where it would be recorded, in words.

    Raises:
        DistrainError: the model does not fit the prepared data.
    """
    dataset = find_prepared(settings.data, cache=cache)
    known: _Known | None = None
    if dataset is None:
        rows = _estimated_rows(settings, summary)
        per_epoch = max(1, math.ceil(rows["train"] / settings.train.global_batch_size))
    else:
        rows = {split: dataset.split(split).num_rows for split in SPLITS}
        known = _look_closer(settings, dataset, placement)
        per_epoch = known.steps_per_epoch
    steps = settings.train.steps or per_epoch * (settings.train.epochs or 1)
    size = f"{summary.num_bytes / 2**20:,.1f} MiB"
    how = "prepared" if dataset else "not prepared yet; rows are estimated"
    if settings.data.ingest == "stream":
        how += "; training rows are streamed from the files"
    return Estimate(
        data=f"{size}, {len(summary.columns)} columns, {how}",
        rows=rows,
        steps=steps,
        steps_per_epoch=per_epoch,
        num_parameters=known and known.num_parameters,
        placement=_placement_text(placement, place),
        worker_bytes=known and known.worker_bytes,
        train_s=known.step_s * steps if known and known.step_s is not None else None,
        tracking=tracking,
    )


@final
@dataclass(frozen=True)
class _Known:
    """What prepared data tells of a run.

    Attributes:
        steps_per_epoch: of the plan.
        num_parameters: of the model.
        worker_bytes: memory of a worker's state.
        step_s: seconds of a step, shared by all workers; None for rows that are streamed, which
            nobody reads for an estimate.
    """

    steps_per_epoch: int
    num_parameters: int
    worker_bytes: int
    step_s: float | None


def _look_closer(settings: Settings, dataset: PreparedDataset, placement: Placement) -> _Known:
    job = job_from_settings(settings, dataset, Path("unused"))
    preflight = try_first_batch(job, is_for_gpu=placement.gpu > 0)
    step_s = None
    if not dataset.is_streamed:
        world = World.single("auto" if placement.gpu else "cpu")
        # Compiling takes longer than anybody waits for an estimate.
        timed = replace(job, compile=False)
        with reproducible(job.threads, world.torch_device):
            step_s = timed_step_s(set_up(timed, world)) / placement.num_workers
    return _Known(
        steps_per_epoch=preflight.steps_per_epoch,
        num_parameters=preflight.num_parameters,
        worker_bytes=worker_bytes(job, preflight, placement.num_workers),
        step_s=step_s,
    )


def timed_step_s(setup: Setup, limit_s: float = math.inf) -> float:
    """Return the seconds of a step that one worker takes alone.

    Args:
        setup: of that worker.
        limit_s: after which no further step is timed.
    """
    began = started = time.perf_counter()
    count = min(WARM_UP_STEPS + TIMED_STEPS, setup.total_steps)
    num_timed = 0
    with setup.loader.batches(0, count) as batches:
        for number, batch in enumerate(batches):
            if number <= min(WARM_UP_STEPS, count - 1):
                started, num_timed = time.perf_counter(), 0
            setup.stepper.step(batch, 0.0, Wishes(stop=False, checkpoint=False))
            num_timed += 1
            if time.perf_counter() - began > limit_s:
                break
    return (time.perf_counter() - started) / num_timed


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
    states = _OPTIMIZER_STATES[str(job.optimizer["name"])]
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
