"""The state of a run while it trains: taken up from a checkpoint, and saved in the next."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import torch

from distrain.errors import TrainError
from distrain.train import checkpoint, ledger
from distrain.train.collective import barrier, from_rank_zero
from distrain.train.job import Status, TrainJob
from distrain.train.ledger import Ledger
from distrain.train.optimize import load_optimizer_tensors, optimizer_tensors
from distrain.train.recorder import Journal, Stopwatch, WeightedMean
from distrain.train.selection import Selection
from distrain.train.setup import Setup, set_up
from distrain.train.world import World


@final
@dataclass
class RunState:
    """What changes while a run trains, beside the model; all of it is in every checkpoint.

    Attributes:
        step: committed optimizer steps: the position in the data.
        status: how training ended; None while it goes on.
        window: losses since the last record.
        since_evaluation: losses since the last evaluation.
        selection: the best so far, and whether it is enough.
        train_loss: train/loss as last recorded.
        validation: validation metrics as last measured, by whole name.
        best_validation: those of the best model.
        stopwatch: how fast it was.
    """

    step: int = 0
    status: Status | None = None
    window: WeightedMean = field(default_factory=WeightedMean)
    since_evaluation: WeightedMean = field(default_factory=WeightedMean)
    selection: Selection = field(default_factory=Selection)
    train_loss: float | None = None
    validation: dict[str, float] = field(default_factory=dict)
    best_validation: dict[str, float] = field(default_factory=dict)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def has_ended(self) -> bool:
        """Return whether training came to an end of its own."""
        return self.status in ("finished", "stopped_early")

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {**asdict(self), "stopwatch": self.stopwatch.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunState":
        """Return the state that `to_json` gave."""
        return cls(
            **{
                **values,
                "window": WeightedMean(**values["window"]),
                "since_evaluation": WeightedMean(**values["since_evaluation"]),
                "selection": Selection(**values["selection"]),
                "stopwatch": Stopwatch(**values["stopwatch"]),
            }
        )


@final
@dataclass
class Attempt:
    """One attempt at a run, on one worker.

    Attributes:
        job: what to do.
        world: sizes and ranks.
        journal: where to record.
        setup: what it works with.
        state: how far it is.
        ledger: where rows are entered, or None.
        best: the best model so far; empty where it is not kept.
        resumed_from: step of the checkpoint that was taken up, or None.
        checkpoint_time: when the last checkpoint was committed, by `time.monotonic`.
    """

    job: TrainJob
    world: World
    journal: Journal
    setup: Setup
    state: RunState
    ledger: Ledger | None
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    resumed_from: int | None = None
    checkpoint_time: float = field(default_factory=time.monotonic)

    @property
    def run_dir(self) -> Path:
        """Return the run's folder."""
        return Path(self.job.run_dir)


def open_attempt(job: TrainJob, world: World, journal: Journal) -> Attempt:
    """Set up, and take up the newest good checkpoint where there is one; all workers must call.

    Args:
        job: what to do.
        world: sizes and ranks.
        journal: where to record.

    Raises:
        CheckpointError: the newest checkpoint belongs to another run.
        ModelError, DataError, ConfigError: as `set_up` raises them.
    """
    setup = set_up(job, world)
    run_dir = Path(job.run_dir)
    found = checkpoint.newest_good(run_dir) if world.is_rank_zero else None
    step = int(from_rank_zero([-1 if found is None else found], world)[0])
    if job.ledger and world.is_rank_zero:
        ledger.remove_after(run_dir, step)
    barrier(world)
    run = Attempt(
        job=job,
        world=world,
        journal=journal,
        setup=setup,
        state=RunState(selection=Selection.of(job.early_stopping)),
        ledger=Ledger(run_dir, world.world_rank) if job.ledger else None,
    )
    if step >= 0:
        _take_up(run, step)
    return run


def _take_up(run: Attempt, step: int) -> None:
    saved = checkpoint.load(run.run_dir, step, run.setup.digests)
    run.setup.model.load(_with_prefix("model.", saved.tensors))
    load_optimizer_tensors(run.setup.optimizer, _with_prefix("optimizer.", saved.tensors))
    device = run.world.torch_device
    run.best = {
        name: value.to(device) for name, value in _with_prefix("best.", saved.tensors).items()
    }
    run.state = RunState.from_json(dict(saved.state))
    run.resumed_from = step


def save(run: Attempt) -> None:
    """Commit a checkpoint: first what it covers, then its tensors, then its manifest.

    All workers must call; rank zero writes, and each worker its share of the ledger.

    Raises:
        TrainError: a parameter is not finite; on every worker alike, and nothing is committed.
    """
    state, setup = run.state, run.setup
    started = time.perf_counter()
    _check_finite(run)
    if run.ledger is not None:
        run.ledger.commit(state.step)
        barrier(run.world)
    if run.world.is_rank_zero:
        run.journal.sync()
        tensors = {
            **_prefixed("model.", setup.model.snapshot()),
            **_prefixed("optimizer.", optimizer_tensors(setup.optimizer)),
            **_prefixed("best.", run.best),
        }
        saved = checkpoint.SavedState(state.step, setup.digests, _kept(state), tensors)
        checkpoint.commit(run.run_dir, saved, run.job.checkpoint_keep)
    run.checkpoint_time = time.monotonic()
    state.stopwatch.end_apart("checkpoint", started)


def _check_finite(run: Attempt) -> None:
    if not bool(torch.isfinite(run.setup.model.vector).all()):
        raise TrainError(
            "a parameter is not finite",
            where=f"step {run.state.step}",
            expected="finite numbers",
            mend="Lower train.optimizer.lr, or set train.gradient_clip_norm",
        )


def _kept(state: RunState) -> dict[str, Any]:
    # An interrupted run is to go on from here, not to be found interrupted.
    values = state.to_json()
    return {**values, "status": None if state.status == "interrupted" else state.status}


def _prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
