"""The state of a run while it trains: taken up from a checkpoint, and saved in the next."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import torch

from distrain import lease
from distrain.data.streamed import Feed
from distrain.errors import CheckpointError
from distrain.train import ledger, taking_up
from distrain.train.checkpoint import SavedState
from distrain.train.collective import barrier, bytes_from_rank_zero, from_rank_zero
from distrain.train.course import config_digest_at
from distrain.train.ema import WeightAverage
from distrain.train.job import Status, TrainJob
from distrain.train.ledger import Ledger
from distrain.train.optimize import load_optimizer_tensors, optimizer_tensors
from distrain.train.patience import on_rank_zero
from distrain.train.precision import LossScale
from distrain.train.recorder import Journal, Stopwatch, WeightedMean
from distrain.train.replay import Replay
from distrain.train.selection import Selection
from distrain.train.setup import Setup, set_up
from distrain.train.shares import read_shares
from distrain.train.spikes import LossWatch
from distrain.train.world import World

# What an evaluation changes of a state.
_BY_EVALUATION: Final = ("since_evaluation", "selection", "validation", "best_validation")

# What a state that nobody here has written may fail with.
_MALFORMED: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError)

# How many differences between two models a message names.
MAX_SHOWN: Final = 4


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
        step_metrics: what a step of the user's own returned since the last record, by name.
        losses: those of the last steps, and what is out of the ordinary beside them.
        scale: what fp16's losses are multiplied by; None in other precisions.
        before_end: what the last evaluation changed, as it was before, where only the end of the
            run called for it: a run that is made longer goes on as if it had not been.
        was_ended: whether who watches it has ended it: by itself it does not go on then.
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
    step_metrics: dict[str, WeightedMean] = field(default_factory=dict)
    losses: LossWatch = field(default_factory=LossWatch)
    scale: LossScale | None = None
    before_end: dict[str, Any] | None = None
    was_ended: bool = False

    @property
    def has_ended(self) -> bool:
        """Return whether training came to an end of its own."""
        return self.status in ("finished", "stopped_early")

    @property
    def has_best_of_end(self) -> bool:
        """Return whether the best model is one that only the end of the run has looked at."""
        before = self.before_end
        return before is not None and before["selection"]["best_step"] != self.selection.best_step

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
                "step_metrics": {
                    name: WeightedMean(**mean)
                    for name, mean in values.get("step_metrics", {}).items()
                },
                "losses": LossWatch(**values["losses"]),
                "scale": LossScale(**values["scale"]) if values["scale"] else None,
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
        average: of the weights, which is evaluated and kept in their stead; or None.
        best: the best model so far; empty where it is not kept.
        best_before_end: the one before, where `state.has_best_of_end`.
        resumed_from: step of the checkpoint that was taken up, or None.
        num_troubles: steps of this attempt that were out of the ordinary.
        replay: what earlier attempts have recorded of the steps to come.
    """

    job: TrainJob
    world: World
    journal: Journal
    setup: Setup
    state: RunState
    ledger: Ledger | None
    average: WeightAverage | None = None
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_before_end: dict[str, torch.Tensor] = field(default_factory=dict)
    resumed_from: int | None = None
    num_troubles: int = 0
    replay: Replay = field(default_factory=Replay)

    @property
    def run_dir(self) -> Path:
        """Return the run's folder."""
        return Path(self.job.run_dir)

    def digests_at(self, step: int) -> dict[str, str]:
        """Return what a checkpoint of a step must agree with."""
        return {**self.setup.digests, "configuration": config_digest_at(self.job, step)}

    def record(self, values: Mapping[str, float]) -> None:
        """Record metrics at this step; of a step computed again they are also compared."""
        self.journal.metrics(self.state.step, values)
        self.replay.compare(self.state.step, values)
        if self.state.step > self.replay.last_step:
            self.replay.tell(self.journal)


def open_attempt(
    job: TrainJob, world: World, journal: Journal, feed: Feed | None = None
) -> Attempt:
    """Set up, and take up the newest good checkpoint where there is one; all workers must call.

    Args:
        job: what to do.
        world: sizes and ranks.
        journal: where to record.
        feed: as `set_up` takes it.

    Raises:
        CheckpointError: the newest checkpoint belongs to another run.
        ModelError, DataError, ConfigError: as `set_up` raises them.
    """
    setup = set_up(job, world, feed)
    run_dir = Path(job.run_dir)
    check_still_ours = partial(lease.check, run_dir, job.fence, job.attempt)
    # Only who reads its own rows may leave them where they are.
    look = partial(_newest_checkpoint, job, journal, keeps_tensors=not setup.model.is_sharded)
    found = on_rank_zero(look, world) or taking_up.Found()
    step = int(from_rank_zero([-1 if found.step is None else found.step], world)[0])
    barrier(world)
    run = Attempt(
        job=job,
        world=world,
        journal=journal,
        setup=setup,
        state=RunState(
            selection=Selection.of(job.early_stopping),
            scale=LossScale() if job.precision == "fp16" else None,
        ),
        ledger=Ledger(run_dir, world.world_rank, check_still_ours) if job.ledger else None,
        average=WeightAverage(setup.model, float(job.ema["decay"])) if job.ema else None,
    )
    if step >= 0:
        _take_up(run, step, found.content)
    is_exact = job.bits_given_up_by is None
    if is_exact:
        # A mean may reach back over an interval.
        records = journal.earlier(run.state.step - setup.record_every_steps)
        run.replay = Replay.of(records, run.state.step, setup.record_every_steps)
    journal.start(run.state.step, is_exact=is_exact, every_steps=setup.record_every_steps)
    return run


def _newest_checkpoint(job: TrainJob, journal: Journal, *, keeps_tensors: bool) -> taking_up.Found:
    """Return the newest good checkpoint, and remove what comes after it."""
    run_dir = Path(job.run_dir)
    lease.check(run_dir, job.fence, job.attempt)
    found = taking_up.find(run_dir, journal.note, keeps_tensors=keeps_tensors)
    taking_up.clear_after(run_dir, found, journal.note)
    if job.ledger:
        ledger.remove_after(run_dir, -1 if found.step is None else found.step)
    return found


def _take_up(run: Attempt, step: int, content: taking_up.Content) -> None:
    world, model, optimizer = run.world, run.setup.model, run.setup.optimizer
    content = taking_up.Content(
        bytes_from_rank_zero(content.manifest, world), bytes_from_rank_zero(content.tensors, world)
    )
    read = partial(read_shares, world=world) if model.is_sharded else None
    saved = taking_up.restore(content, run.digests_at(step), run.run_dir, read)
    _check_architecture(saved, run)
    try:
        model.load(_with_prefix("model.", saved.tensors))
        load_optimizer_tensors(optimizer, _with_prefix("optimizer.", saved.tensors), model.prefixes)
        if run.average is not None:
            run.average.load(_with_prefix("average.", saved.tensors))
    except _MALFORMED as fault:
        raise _other_fields(saved.step, run.run_dir, fault) from fault
    run.best, run.best_before_end = (
        {
            name: value.to(world.torch_device)
            for name, value in _with_prefix(prefix, saved.tensors).items()
        }
        for prefix in ("best.", "best_before_end.")
    )
    run.state = _restored_state(saved, run.run_dir)
    if run.state.has_ended and step < run.setup.total_steps:
        _reopen(run)
    run.resumed_from = step


def kept_before_end(run: Attempt) -> dict[str, Any]:
    """Return what an evaluation is about to change, and keep the best model there is before it."""
    run.best_before_end = run.best
    values = run.state.to_json()
    return {name: values[name] for name in _BY_EVALUATION}


def _reopen(run: Attempt) -> None:
    """Let a run that has ended go on, where it was given more steps, or more time, since."""
    if run.state.was_ended:
        return
    limit_s = run.job.max_time_s
    # Not `used_s`, of which each worker has its own.
    if limit_s is not None and run.state.stopwatch.before_s >= limit_s:
        run.state.status = "stopped_early"
        return
    if run.state.has_best_of_end:
        run.best = run.best_before_end
    if run.state.before_end is not None:
        earlier = {**run.state.before_end, "before_end": None}
        run.state = RunState.from_json({**run.state.to_json(), **earlier})
    run.state.status = "stopped_early" if run.state.selection.is_enough else None


def _restored_state(saved: SavedState, run_dir: Path) -> RunState:
    try:
        return RunState.from_json(dict(saved.state))
    except _MALFORMED as fault:
        raise _other_fields(saved.step, run_dir, fault) from fault


def _other_fields(step: int, run_dir: Path, fault: Exception) -> CheckpointError:
    return CheckpointError(
        f"the state of step {step} has other fields ({fault})",
        where=str(run_dir),
        expected="a checkpoint of this version of distrain",
        mend="Go on with the version that wrote it, or start a new run",
    )


def _check_architecture(saved: SavedState, run: Attempt) -> None:
    """Refuse the state of another model, such as one whose code was changed in between."""
    own, theirs = architecture(run.setup.model.module), saved.architecture
    differing = [name for name in {**theirs, **own} if own.get(name) != theirs.get(name)]
    if not differing:
        return
    shown = [
        f"{name} ({theirs.get(name, 'none')} there, {own.get(name, 'none')} here)"
        for name in differing[:MAX_SHOWN]
    ]
    more = f" and {len(differing) - MAX_SHOWN} more" if len(differing) > MAX_SHOWN else ""
    raise CheckpointError(
        f"the checkpoint holds another model: {', '.join(shown)}{more}",
        where=f"{run.run_dir}, step {saved.step}",
        expected="the same parameters and buffers",
        mend="Go back to the model that the run was started with, or start a new run",
    )


def moving_tensors(run: Attempt) -> dict[str, torch.Tensor]:
    """Return what training changes, by its name in a checkpoint; not copied."""
    setup = run.setup
    return {
        **prefixed("model.", setup.model.tensors()),
        **prefixed("optimizer.", optimizer_tensors(setup.optimizer, setup.model.prefixes)),
        **prefixed("average.", run.average.tensors() if run.average else {}),
    }


def kept_state(state: RunState) -> dict[str, Any]:
    """Return the plain values of a state as a checkpoint keeps them."""
    # An interrupted run is to go on from here, not to be found interrupted.
    values = state.to_json()
    return {**values, "status": None if state.status == "interrupted" else state.status}


def architecture(module: torch.nn.Module) -> dict[str, str]:
    """Return the shape of every parameter and buffer by name, and whether it is trained."""
    parameters = {
        name: f"{list(value.shape)}{'' if value.requires_grad else ', frozen'}"
        for name, value in module.named_parameters()
    }
    buffers = {name: f"{list(value.shape)}, buffer" for name, value in module.named_buffers()}
    return {**parameters, **buffers}


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with a prefix before their names."""
    return {prefix + name: value for name, value in tensors.items()}


def _with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
