"""The training loop: epochs, steps, evaluate, checkpoint, record. No Ray, no tracking server.

    set up the model, the plan and the splits; take up the newest good checkpoint if there is one
    for each step of the plan, from the position of the checkpoint on:
        get this worker's parts of the step's rows; put in force what changes here
        sum the gradients over all parts and workers
        out of the ordinary: tell which rows it was; skip the step, or end, where that is asked
        update once
        every so many steps: record train/loss and train/lr
        every so many epochs or steps: measure the validation split; keep the best model;
            without improvement for too long: stop
        whoever watches the run is told what was measured, and may pause it, or end it
        after an epoch: record where its time went
        every so many seconds or steps: copy the state; a thread makes it a checkpoint, for which
            is waited where more than such an interval would be unsaved
    commit the last state, go back to the best model, measure the test split once
    write the final weights, and what the model makes of some rows

All workers run this alike. What only one of them knows (rank zero's clock, a request to stop)
becomes one decision at one step by travelling with the gradients.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final

from distrain import lease
from distrain.data.loader import StepBatch
from distrain.data.streamed import Feed
from distrain.train.allocator import keep_freed_memory
from distrain.train.checkpoint import FOLDER, committed_steps, save_weights
from distrain.train.collective import from_rank_zero
from distrain.train.determinism import reproducible
from distrain.train.evaluation import Evaluator
from distrain.train.job import Answer, GivenUpError, Status, TrainJob, TrainOutcome
from distrain.train.optimize import learning_rate
from distrain.train.patience import on_rank_zero
from distrain.train.profiling import profiling
from distrain.train.recorder import Journal, NoJournal, ProgressLine, WeightedMean
from distrain.train.saving import Saver
from distrain.train.state import Attempt, RunState, kept_before_end, open_attempt
from distrain.train.step import StepResult, Wishes
from distrain.train.times import EpochTimes
from distrain.train.trouble import is_worth_its_update
from distrain.train.world import World

__all__ = ["TrainJob", "TrainOutcome", "train"]

WEIGHTS_FILE: Final = "final.safetensors"
OUTPUTS_FILE: Final = "final-outputs.safetensors"
_NUM_SHOWN: Final = 64


def train(  # noqa: PLR0913 - all that a run takes from outside
    job: TrainJob,
    world: World,
    journal: Journal | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    beat: Callable[[str, int], None] = lambda _phase, _step: None,
    feed: Feed | None = None,
    ask: Callable[[int, int, bool], Answer] | None = None,
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
        beat: told what is done now, and after how many committed steps (see `beat.py`).
        feed: where the rows of a streamed training split come from; None: from this process.
        ask: asked on rank zero what becomes of the run, after each evaluation that was due, with
            all of it recorded: told the committed steps, the whole epochs, and whether training
            ends by itself there. None: it goes on. Given to all workers, or to none.

    Raises:
        GivenUpError: `ask` gave the run up; nothing was committed after it.
        TrainError: the loss is not finite, or a spike at which the run is to stop, on every worker
            at the same step, with nothing committed after it; or the user's metric failed, which
            every worker is told.
        CheckpointError: the newest checkpoint belongs to another run.
        ModelError, DataError, ConfigError: as `set_up` raises them; or the model changed a buffer
            that it had left alone at first.
    """
    keep_freed_memory()
    with reproducible(job.threads, world.torch_device):
        # Known before the set-up, so that a worker that is lost in it is not told to be at step 0.
        beat("start", next(iter(committed_steps(Path(job.run_dir))), 0))
        journal = journal if journal and world.is_rank_zero else NoJournal()
        run = open_attempt(job, world, journal, feed)
        with run.replay.told_at_the_end(run.journal):
            if run.state.status is None:
                _train_steps(run, stop_requested, beat, ask)
            if run.state.status == "interrupted":
                return _outcome(run, dict(run.state.validation), "", "")
            beat("evaluate", run.state.step)
            return _finish(run)


def _train_steps(
    run: Attempt,
    stop_requested: Callable[[], bool],
    beat: Callable[[str, int], None],
    ask: Callable[[int, int, bool], Answer] | None,
) -> None:
    state, setup = run.state, run.setup
    progress = ProgressLine(
        run.journal,
        state.step,
        setup.total_steps,
        setup.plan.steps_per_epoch,
        state.stopwatch.waits,
    )
    times = EpochTimes(run)
    with (
        Saver(run) as saver,
        profiling(run) as end_traced_step,
        setup.loader.batches(state.step, setup.total_steps) as batches,
    ):
        for batch in state.stopwatch.waiting_for(batches):
            beat("compute", state.step)
            wishes = Wishes(stop_requested(), saver.is_due(batch.step + 1), _is_time_up(run))
            result, lr = _step(run, batch, wishes)
            end_traced_step()

            is_due = _is_evaluation_due(run)
            if is_due or state.step == setup.total_steps or result.wishes.is_time_up:
                beat("evaluate", state.step)
                _evaluate(run, is_for_end=not is_due)
            state.status = _status(run, result)
            started = time.perf_counter()
            if state.step % setup.record_every_steps == 0 or state.has_ended:
                _record(run, lr)
            progress.tell(state.step, batch.num_rows, _ratio(result), _watched(state))
            state.stopwatch.end_record(started)
            if state.step % setup.plan.steps_per_epoch == 0 or state.has_ended:
                times.tell()
            if is_due and ask is not None:
                state.status = _answer(run, ask) or state.status
            if state.status:
                beat("checkpoint", state.step)
                saver.finish()
                return
            if result.wishes.checkpoint:
                saver.begin()
            saver.hold()
            beat("data", state.step)


def _step(run: Attempt, batch: StepBatch, wishes: Wishes) -> tuple[StepResult, float]:
    setup, state = run.setup, run.state
    started, exchanged = time.perf_counter(), setup.stepper.exchange_s
    lr = learning_rate(
        run.job.lr_schedule,
        setup.course.enter(batch.step),
        batch.step,
        total_steps=setup.total_steps,
        steps_per_epoch=setup.plan.steps_per_epoch,
    )
    try:
        result = setup.stepper.step(
            batch, lr, wishes, partial(is_worth_its_update, run, batch), state.scale
        )
    except (Exception, SystemExit) as error:
        error.add_note(f"step {batch.step + 1}")  # for `worker.py`, which tells the user
        raise
    state.step = batch.step + 1
    if run.average is not None and result.is_updated:
        run.average.update()
    if result.has_finite_loss:
        state.window.add(result.loss_sum, result.weight)
        state.since_evaluation.add(result.loss_sum, result.weight)
        sums = zip(result.extras[0::2], result.extras[1::2], strict=True)
        for name, (total, weight) in zip(setup.step_names, sums, strict=True):
            state.step_metrics.setdefault(name, WeightedMean()).add(total, weight)
    if run.ledger is not None:
        run.ledger.add(batch)
    state.stopwatch.end_step(
        batch.num_rows, setup.stepper.exchange_s - exchanged, time.perf_counter() - started
    )
    return result, lr


def _record(run: Attempt, lr: float) -> None:
    mean = run.state.window.take()
    if mean is not None:
        run.state.train_loss = mean
        means = {name: one.take() for name, one in run.state.step_metrics.items()}
        own = {f"train/{name}": value for name, value in means.items() if value is not None}
        run.record({"train/loss": mean, "train/lr": lr, **own})


def _evaluate(run: Attempt, *, is_for_end: bool) -> None:
    state, setup = run.state, run.setup
    state.before_end = kept_before_end(run) if is_for_end else None
    started = time.perf_counter()
    measured: dict[str, float] = {}
    with run.average.in_place() if run.average else nullcontext():
        if setup.validation.num_rows:
            values = setup.evaluator.measure(setup.validation, setup.metrics)
            measured = {f"validation/{name}": value for name, value in values.items()}
            run.record(measured)
            state.validation = measured
        mean = state.since_evaluation.take()
        watched = measured if mean is None else {**measured, "train/loss": mean}
        if state.selection.metric in watched and state.selection.observe(state.step, watched):
            state.best_validation = measured
            if run.job.restore_best:
                run.best = setup.model.snapshot()
    state.stopwatch.end_apart("evaluate", started)


def _finish(run: Attempt) -> TrainOutcome:
    """Measure the final model on the test split, and write its weights."""
    state, setup = run.state, run.setup
    metrics = dict(state.validation)
    if run.best:
        setup.model.load(run.best)
        metrics = dict(state.best_validation)
    elif run.average is not None:
        run.average.put_into_model()
    if setup.test.num_rows and not run.job.is_trial:
        started = time.perf_counter()
        values, wrong = setup.evaluator.assess(setup.test, setup.metrics)
        measured = {f"test/{name}": value for name, value in values.items()}
        run.record(measured)
        run.journal.assessment("test", wrong)
        metrics |= measured
        state.stopwatch.end_apart("evaluate", started)
    if run.job.is_trial:
        return _outcome(run, metrics, setup.model.final_weights()[1], "")
    # What is packaged later has to give the same.
    splits = {"validation": setup.validation, "test": setup.test}
    shown = {
        name: setup.evaluator.outputs(split, _NUM_SHOWN)
        for name, split in splits.items()
        if split.num_rows and isinstance(setup.evaluator, Evaluator)
    }
    weights, sha256 = setup.model.final_weights()
    path = run.run_dir / FOLDER / WEIGHTS_FILE

    def write() -> None:
        lease.check(run.run_dir, run.job.fence, run.job.attempt)
        save_weights(path.with_name(OUTPUTS_FILE), shown)
        save_weights(path, weights)
        run.journal.sync()

    on_rank_zero(write, run.world)
    return _outcome(run, metrics, sha256, str(path))


def _outcome(
    run: Attempt, metrics: dict[str, float], sha256: str, weights_file: str
) -> TrainOutcome:
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


def _is_evaluation_due(run: Attempt) -> bool:
    job, step = run.job, run.state.step
    every = job.evaluate_every_steps
    if every is None and job.evaluate_every_epochs is not None:
        every = job.evaluate_every_epochs * run.setup.plan.steps_per_epoch
    return every is not None and step % every == 0


def _status(run: Attempt, result: StepResult) -> Status | None:
    """Return how training ended, or None where it goes on."""
    if run.state.step == run.setup.total_steps:
        return "finished"
    if run.state.selection.is_enough:
        return "stopped_early"
    # Before a request to stop: the validation split has been measured for the end.
    if result.wishes.is_time_up:
        run.journal.note(
            f"training stopped after step {run.state.step} of {run.setup.total_steps}, because it "
            f"has taken train.max_time_s = {run.job.max_time_s:g} s"
        )
        return "stopped_early"
    return "interrupted" if result.wishes.stop else None


def _answer(run: Attempt, ask: Callable[[int, int, bool], Answer]) -> Status | None:
    """Return what whoever watches the run makes of it; None: it goes on, or ends by itself.

    Raises:
        GivenUpError: it is given up, on every worker.
    """
    step = run.state.step
    epoch = step // run.setup.plan.steps_per_epoch
    answers: tuple[Answer, ...] = ("go_on", "pause", "end", "stop")
    has_ended = run.state.has_ended
    given = answers.index(ask(step, epoch, has_ended)) if run.world.is_rank_zero else 0
    answer = answers[int(from_rank_zero([given], run.world)[0])]
    if answer == "stop":
        raise GivenUpError
    if has_ended or answer == "go_on":
        return None
    run.state.was_ended = answer == "end"
    return "interrupted" if answer == "pause" else "stopped_early"


def _is_time_up(run: Attempt) -> bool:
    limit_s = run.job.max_time_s
    return limit_s is not None and run.world.is_rank_zero and run.state.stopwatch.used_s >= limit_s


def _watched(state: RunState) -> tuple[str, float] | None:
    name = state.selection.metric
    return (name, state.validation[name]) if name in state.validation else None


def _ratio(result: StepResult) -> float | None:
    return result.loss if result.has_finite_loss else None
