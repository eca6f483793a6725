"""The training loop: epochs, steps, evaluate, checkpoint, record. No Ray, no tracking server.

    set up the model, the plan and the splits; take up the newest good checkpoint if there is one
    for each step of the plan, from the position of the checkpoint on:
        get this worker's parts of the step's rows
        sum the gradients over all parts and workers, update once
        every so many steps: record train/loss and train/lr
        every so many epochs or steps: measure the validation split; keep the best model;
            without improvement for too long: stop
        every so many seconds or steps: commit a checkpoint
    commit the last state, go back to the best model, measure the test split once
    write the final weights

All workers run this alike. What only one of them knows (rank zero's clock, a request to stop)
becomes one decision at one step by travelling with the gradients.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, final

import torch

from distrain.data.loader import StepBatch
from distrain.errors import TrainError
from distrain.models.weights import weights_sha256
from distrain.train import checkpoint, ledger
from distrain.train.collective import barrier, from_rank_zero
from distrain.train.determinism import reproducible
from distrain.train.job import Status, TrainJob, TrainOutcome
from distrain.train.ledger import Ledger
from distrain.train.optimize import learning_rate, load_optimizer_tensors, optimizer_tensors
from distrain.train.recorder import Journal, NoJournal, ProgressLine, Stopwatch, WeightedMean
from distrain.train.selection import Selection
from distrain.train.setup import Setup, set_up
from distrain.train.step import StepResult, Wishes
from distrain.train.world import World

__all__ = ["TrainJob", "TrainOutcome", "train"]

WEIGHTS_FILE: Final = "final.safetensors"


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
class _Run:
    """One attempt at a run, on one worker."""

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
        return Path(self.job.run_dir)


def train(
    job: TrainJob,
    world: World,
    journal: Journal | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> TrainOutcome:
    """Train a model to the end, or on from the newest checkpoint in `job.run_dir`.

    All workers must call. With several, the process group must be initialised. Rank zero writes
    checkpoints and the final weights below `job.run_dir`.

    Args:
        job: what to do.
        world: sizes and ranks.
        journal: where rank zero records; None on the others.
        stop_requested: asked before every step; when true on any worker, all of them commit a
            checkpoint and return with the status `interrupted`.

    Raises:
        TrainError: the loss is not finite, on every worker at the same step, with nothing committed
            after it; or the user's metric failed.
        CheckpointError: the newest checkpoint belongs to another run.
        ModelError, DataError, ConfigError: as `set_up` raises them.
    """
    with reproducible(job.threads, world.torch_device):
        run = _open(job, world, journal if journal and world.is_rank_zero else NoJournal())
        if run.state.status is None:
            _train_steps(run, stop_requested)
        if run.state.status == "interrupted":
            return _outcome(run, dict(run.state.validation), "", "")
        return _finish(run)


def _train_steps(run: _Run, stop_requested: Callable[[], bool]) -> None:
    state, setup, job = run.state, run.setup, run.job
    progress = ProgressLine(run.journal, state.step, setup.total_steps, setup.plan.steps_per_epoch)
    with setup.loader.batches(state.step, setup.total_steps) as batches:
        for batch in state.stopwatch.waiting_for(batches):
            wishes = Wishes(stop=stop_requested(), checkpoint=_is_time_for_checkpoint(run))
            result, lr = _step(run, batch, wishes)
            is_last = state.step == setup.total_steps

            if state.step % job.record_every_steps == 0 or is_last:
                _record(run, lr)
            if _is_evaluation_due(run) or is_last:
                _evaluate(run)
            progress.tell(state.step, batch.num_rows, _ratio(result), _watched(state))

            if is_last:
                state.status = "finished"
            elif state.selection.is_enough:
                state.status = "stopped_early"
            elif result.wishes.stop:
                state.status = "interrupted"
            is_due = state.step % (job.checkpoint_every_steps or state.step + 1) == 0
            if state.status or is_due or result.wishes.checkpoint:
                _save(run)
            if state.status:
                return


def _step(run: _Run, batch: StepBatch, wishes: Wishes) -> tuple[StepResult, float]:
    setup, state = run.setup, run.state
    started, exchanged = time.perf_counter(), setup.stepper.exchange_s
    lr = learning_rate(
        run.job.lr_schedule,
        float(run.job.optimizer["lr"]),
        batch.step,
        total_steps=setup.total_steps,
        steps_per_epoch=setup.plan.steps_per_epoch,
    )
    result = setup.stepper.step(batch, lr, wishes)
    state.step = batch.step + 1
    state.window.add(result.loss_sum, result.weight)
    state.since_evaluation.add(result.loss_sum, result.weight)
    if run.ledger is not None:
        run.ledger.add(batch)
    state.stopwatch.end_step(
        batch.num_rows, setup.stepper.exchange_s - exchanged, time.perf_counter() - started
    )
    return result, lr


def _record(run: _Run, lr: float) -> None:
    mean = run.state.window.take()
    if mean is not None:
        run.state.train_loss = mean
        run.journal.metrics(run.state.step, {"train/loss": mean, "train/lr": lr})


def _evaluate(run: _Run) -> None:
    state, setup = run.state, run.setup
    started = time.perf_counter()
    measured: dict[str, float] = {}
    if setup.validation.num_rows:
        values = setup.evaluator.measure(setup.validation, setup.metrics)
        measured = {f"validation/{name}": value for name, value in values.items()}
        run.journal.metrics(state.step, measured)
        state.validation = measured
    mean = state.since_evaluation.take()
    watched = measured if mean is None else {**measured, "train/loss": mean}
    if state.selection.metric in watched and state.selection.observe(state.step, watched):
        state.best_validation = measured
        if run.job.restore_best:
            run.best = setup.model.snapshot()
    state.stopwatch.end_apart("evaluate", started)


def _save(run: _Run) -> None:
    """Commit a checkpoint: first what it covers, then its tensors, then its manifest."""
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


def _finish(run: _Run) -> TrainOutcome:
    """Measure the final model on the test split, and write its weights."""
    state, setup = run.state, run.setup
    metrics = dict(state.validation)
    if run.best:
        setup.model.load(run.best)
        metrics = dict(state.best_validation)
    if setup.test.num_rows:
        started = time.perf_counter()
        values = setup.evaluator.measure(setup.test, setup.metrics, by_predictions=True)
        measured = {f"test/{name}": value for name, value in values.items()}
        run.journal.metrics(state.step, measured)
        metrics |= measured
        state.stopwatch.end_apart("evaluate", started)
    weights = setup.model.state_dict()
    path = run.run_dir / checkpoint.FOLDER / WEIGHTS_FILE
    if run.world.is_rank_zero:
        checkpoint.save_weights(path, weights)
        run.journal.sync()
    barrier(run.world)
    return _outcome(run, metrics, weights_sha256(weights), str(path))


def _open(job: TrainJob, world: World, journal: Journal) -> _Run:
    """Set up, and take up the newest good checkpoint where there is one."""
    setup = set_up(job, world)
    run_dir = Path(job.run_dir)
    found = checkpoint.newest_good(run_dir) if world.is_rank_zero else None
    step = int(from_rank_zero([-1 if found is None else found], world)[0])
    if job.ledger and world.is_rank_zero:
        ledger.remove_after(run_dir, step)
    barrier(world)
    run = _Run(
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


def _take_up(run: _Run, step: int) -> None:
    saved = checkpoint.load(run.run_dir, step, run.setup.digests)
    run.setup.model.load(_with_prefix("model.", saved.tensors))
    load_optimizer_tensors(run.setup.optimizer, _with_prefix("optimizer.", saved.tensors))
    device = run.world.torch_device
    run.best = {
        name: value.to(device) for name, value in _with_prefix("best.", saved.tensors).items()
    }
    run.state = RunState.from_json(dict(saved.state))
    run.resumed_from = step


def _outcome(run: _Run, metrics: dict[str, float], sha256: str, weights_file: str) -> TrainOutcome:
    state, setup = run.state, run.setup
    assert state.status is not None
    if state.train_loss is not None:
        metrics = {"train/loss": state.train_loss, **metrics}
    return TrainOutcome(
        status=state.status,
        epoch=-(-state.step // setup.plan.steps_per_epoch),
        step=state.step,
        total_steps=setup.total_steps,
        steps_per_epoch=setup.plan.steps_per_epoch,
        metrics=metrics,
        weights_sha256=sha256,
        weights_file=weights_file,
        num_parameters=setup.model.num_parameters,
        num_workers=run.world.world_size,
        samples_per_second=state.stopwatch.samples_per_second(state.step),
        best_step=state.selection.best_step if run.best else None,
        resumed_from_step=run.resumed_from,
        waits=dict(state.stopwatch.waits),
        plan_digest=setup.plan.digest,
    )


def _is_evaluation_due(run: _Run) -> bool:
    job, step = run.job, run.state.step
    if job.evaluate_every_steps is not None:
        return step % job.evaluate_every_steps == 0
    if job.evaluate_every_epochs is None:
        return False
    return step % (job.evaluate_every_epochs * run.setup.plan.steps_per_epoch) == 0


def _is_time_for_checkpoint(run: _Run) -> bool:
    every_s = run.job.checkpoint_every_s
    is_timed = every_s is not None and run.job.checkpoint_every_steps is None
    if not is_timed or not run.world.is_rank_zero:
        return False
    return every_s is not None and time.monotonic() - run.checkpoint_time >= every_s


def _check_finite(run: _Run) -> None:
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


def _watched(state: RunState) -> tuple[str, float] | None:
    name = state.selection.metric
    return (name, state.validation[name]) if name in state.validation else None


def _ratio(result: StepResult) -> float | None:
    return result.loss_sum / result.weight if result.weight > 0 else None


def _prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _with_prefix(prefix: str, tensors: Any) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
