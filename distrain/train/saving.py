"""Checkpoints written beside the training: the loop gives a copy away and goes on.

    the loop, all workers at one step         a thread of each worker, one save at a time
    copy the state, cut the ledger       ->   sync the journal
                                              write this worker's part of the ledger
                                              rank zero: wait for the parts of the others
                                              rank zero: write tensors, manifest; remove older ones

Where parameters are sharded, every worker copies its shares and writes them: see `shares.py`.

Rank zero wishes for a checkpoint when it is time for one and none is being written; the wish
becomes everybody's at one step by travelling with the gradients. So no save waits behind another:
one that falls due meanwhile is taken at the first step after.

When it is time for one, and when training waits for the one that is being written, says
`cadence.py`.

A save that fails for want of room, or of the storage, is told and left at that; the ledger's rows
stay for the next one. The last save has no next one: it is tried twice, and where it leaves the
ledger without its end, the attempt fails. Whatever else goes wrong in the thread is raised in the
loop.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self, final

from distrain import lease
from distrain.errors import TrainError
from distrain.object_store.link import shown
from distrain.train import cadence, checkpoint, ledger
from distrain.train.checkpoint import SavedState
from distrain.train.collective import barrier
from distrain.train.copies import Copies
from distrain.train.patience import await_all
from distrain.train.shares import only_shares, remove_shares, taken_in, write_share
from distrain.train.state import Attempt, architecture, kept_state, moving_tensors, prefixed

# How long an attempt that ends in an error still waits for the other workers' parts of the ledger.
GRACE_S: Final = 1.0
# How long after its failure the last save is tried again.
RETRY_S: Final = 2.0

logger = logging.getLogger(__name__)


@final
class Saver:
    """Commits checkpoints of an attempt in a thread; all workers must call `begin` alike.

    Use it as a context manager: at its end nothing is being written any more.

    Args:
        run: the attempt.
    """

    def __init__(self, run: Attempt) -> None:
        self._run = run
        self._architecture = architecture(run.setup.model.module)
        self._copies = Copies()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._is_leaving = threading.Event()
        self._cadence = cadence.Cadence(
            run.job.checkpoint_every_steps,
            run.job.checkpoint_every_s,
            min(cadence.HOLD_S, run.world.collective_timeout_s / 2),
            run.state.step,
            time.monotonic(),
        )
        self._newest = run.resumed_from
        self._num_missed = 0
        self._is_cluttered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.join(GRACE_S)
            self._is_leaving.set()
            self._thread.join()

    def is_due(self, step: int) -> bool:
        """Return whether a checkpoint is to be taken after a step; only rank zero ever says so.

        Args:
            step: committed steps, the one that is about to be taken included.

        Raises:
            CheckpointError: another driver has taken over the run.
            Exception: whatever else ended the last save, beside a fault of the storage.
        """
        if self._is_busy:
            return False
        self._wait()
        return self._run.world.is_rank_zero and self._cadence.is_due(step, time.monotonic())

    def begin(self) -> None:
        """Copy the state and begin to save it; all workers must call.

        Raises:
            TrainError: a parameter is not finite; on every worker alike, and nothing is committed.
        """
        started = time.perf_counter()
        self._begin()
        self._run.state.stopwatch.end_apart("checkpoint", started)

    def hold(self) -> None:
        """Wait for the save under way where another step would leave too much unsaved.

        Rank zero alone waits; the others do in their next exchange with it.
        """
        run = self._run
        if not (run.world.is_rank_zero and self._is_busy):
            return
        hold_s = self._cadence.hold_s(run.state.step, time.monotonic())
        if hold_s is None:
            return
        started = time.perf_counter()
        if not self._is_over(hold_s):
            self._cadence.give_up()
            self._tell(
                f"the checkpoint of step {self._cadence.step} is still being written; training "
                f"goes on, and a death may cost more than train.checkpoint says; "
                + self._newest_text
            )
        run.state.stopwatch.end_apart("checkpoint", started)

    def finish(self) -> None:
        """Save the state and wait until it is there; all workers must call.

        Raises:
            TrainError: as `begin`.
            CheckpointError: another driver has taken over the run.
            OSError: training is at its end, and the ledger's last rows cannot be written.
        """
        started = time.perf_counter()
        await_all(self._is_over, self._run.world)  # others have none, or a smaller one
        self._begin(is_last=True)
        await_all(self._is_over, self._run.world)
        if self._num_missed:
            self._tell(
                f"training ends at step {self._cadence.step} without a checkpoint of it; "
                + self._newest_text
            )
        self._clear_up()
        self._run.state.stopwatch.end_apart("checkpoint", started)

    def _clear_up(self) -> None:
        """See that the ledger is all there, and that nothing else is, once all have written."""
        run = self._run
        rows = run.ledger if run.state.has_ended else None
        if rows is not None and rows.is_behind:
            raise OSError(f"the ledger of {run.run_dir} could not be written to its end")
        barrier(run.world)
        if not run.world.is_rank_zero:
            return
        self._check_still_ours()
        remove_shares(run.run_dir)
        if rows is not None:
            ledger.remove_leftovers(run.run_dir)

    @property
    def _is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _wait(self) -> None:
        """Wait for the end of the save that is under way; raise what ended it, if anything did."""
        self._is_over(None)

    def _is_over(self, seconds: float | None) -> bool:
        """Return whether a save has ended within so many seconds; raise what ended it, if any."""
        if self._thread is not None:
            self._thread.join(seconds)
        if self._is_busy:
            return False
        if self._error is not None:
            raise self._error
        return True

    def _begin(self, *, is_last: bool = False) -> None:
        run = self._run
        _check_finite(run)
        # Rank zero's was done when it wished; another worker's may still be about to end.
        self._wait()
        is_ours = run.world.is_rank_zero or run.setup.model.is_sharded
        saved = self._copy() if is_ours else None
        if run.ledger is not None:
            run.ledger.cut()
        self._cadence.begin(run.state.step, time.monotonic())
        self._thread = threading.Thread(
            target=self._work,
            args=(self._save_last if is_last else self._save, run.state.step, saved),
            name="distrain-checkpoint",
            daemon=True,
        )
        self._thread.start()

    def _copy(self) -> SavedState:
        run = self._run
        own = (lambda tensors: tensors) if run.world.is_rank_zero else only_shares
        copied = self._copies.of(own(moving_tensors(run)))
        # The best model is replaced, never written to.
        tensors = {**copied, **own(prefixed("best.", run.best))}
        if run.state.has_best_of_end:
            tensors |= own(prefixed("best_before_end.", run.best_before_end))
        return SavedState(
            run.state.step,
            run.digests_at(run.state.step),
            kept_state(run.state),
            tensors,
            self._architecture,
        )

    def _work(
        self,
        save: Callable[[int, SavedState | None], None],
        step: int,
        saved: SavedState | None,
    ) -> None:
        try:
            try:
                save(step, saved)
            except OSError as fault:
                if not self._is_leaving.is_set():
                    self._tell_failure(step, fault)
            else:
                self._tell_success(step)
        except BaseException as error:  # handed over to the loop
            self._error = error

    def _save_last(self, step: int, saved: SavedState | None) -> None:
        try:
            self._save(step, saved)
        except OSError as fault:
            logger.warning("the last save is tried again in %g s: %s", RETRY_S, fault)
            self._is_leaving.wait(RETRY_S)
            self._save(step, saved)

    def _save(self, step: int, saved: SavedState | None) -> None:
        run = self._run
        self._check_still_ours()
        run.journal.sync()
        if run.ledger is not None:
            run.ledger.commit(step)
        if saved is None:
            return
        self._copies.wait()
        if not run.world.is_rank_zero:
            rank = run.world.world_rank
            write_share(
                run.run_dir, step, rank, saved.tensors, self._check_still_ours, self._attempt
            )
            return
        if run.ledger is not None:
            ledger.await_parts(
                run.run_dir,
                step,
                run.world.world_size,
                timeout_s=run.world.collective_timeout_s,
                is_leaving=self._is_leaving,
            )
        others = checkpoint.no_others
        if run.setup.model.is_sharded:
            others = partial(
                taken_in,
                step=step,
                world=run.world,
                is_leaving=self._is_leaving,
                attempt=self._attempt,
            )
        checkpoint.commit(run.run_dir, saved, self._check_still_ours, others)
        self._check_still_ours()
        run.journal.checkpoint(step)
        self._remove_older(saved.state["selection"]["best_step"])

    def _remove_older(self, best_step: int | None) -> None:
        run = self._run
        try:
            checkpoint.retain(run.run_dir, run.job.checkpoint_keep, best_step)
        except OSError as fault:  # on NFS, that somebody reads one of them is enough
            if not self._is_cluttered:
                self._tell(f"an older checkpoint could not be removed: {fault}; training goes on")
            self._is_cluttered = True

    @property
    def _attempt(self) -> str:
        job = self._run.job
        return f"{job.fence or 0}-{job.attempt or 0}"

    def _check_still_ours(self) -> None:
        job = self._run.job
        lease.check(self._run.run_dir, job.fence, job.attempt)

    def _tell_failure(self, step: int, fault: OSError) -> None:
        """Tell the first of several failures in a row; a disk may be full for hours."""
        run = self._run
        self._num_missed += 1
        if self._num_missed == 1:
            self._tell(
                f"the checkpoint of step {step} could not be written to {shown(run.run_dir)}: "
                f"{fault}; training goes on; {self._newest_text}"
            )
        if run.ledger is not None and not run.world.is_rank_zero:
            # On a full disk this may fail too; rank zero then gives up after a while.
            with contextlib.suppress(OSError):
                run.ledger.tell_failure(step)

    def _tell_success(self, step: int) -> None:
        if self._num_missed:
            self._tell(f"checkpoints are written again, after {self._num_missed} that could not be")
        self._newest, self._num_missed = step, 0
        self._cadence.end(time.monotonic())

    def _tell(self, text: str) -> None:
        logger.warning("%s", text)
        self._run.journal.note(text)

    @property
    def _newest_text(self) -> str:
        newest = self._newest
        return f"the newest is that of step {newest}" if newest is not None else "there is none"


def _check_finite(run: Attempt) -> None:
    if not run.setup.model.is_finite():
        raise TrainError(
            "a parameter is not finite",
            where=f"step {run.state.step}",
            expected="finite numbers",
            mend="Lower train.optimizer.lr, or set train.gradient_clip_norm",
        )
