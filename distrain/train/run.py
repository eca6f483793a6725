"""The driver of one training run: a `TrainJob` on Ray Train's workers, watched to its end.

The workers append to the run's journal; this side reads it for the display. Nothing is reported
through Ray Train, whose reports cost seconds each, and its checkpoints are not used: the loop finds
the newest good one itself. Each attempt at the run is a run of Ray Train's of its own, that ends
with the first fault; see `attempts.py` for what comes then.

From the SIGKILL of one of two workers to the next new step it takes 9.4 s (median of 5, at most
11.7) on two cores, of which the noticing takes less than 2; it took 20.3 s on that machine with Ray
Train's controller and helpers in processes of their own (see `controller.py`; 2026-11-29). What is
left is the workers' imports of ray.train and torch, 5 to 6 s of CPU time each. `fit` is waited for
without a limit, but not for ever: where the cluster goes, Ray ends this process, 61 s after its
control store was killed and 14 s after its own node's raylet was.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from distrain import lease
from distrain.config.settings import ClusterSettings
from distrain.data.files import SourceFile
from distrain.display import Display
from distrain.errors import TrainError
from distrain.object_store.link import link_of
from distrain.object_store.live import take_in_outcome
from distrain.run_folder import JOURNAL
from distrain.track.journal import JournalWriter
from distrain.train.attempts import Ended, train_in_attempts, wait_for_room
from distrain.train.beat import LOG_FOLDER, BeatRecord, last_step, read_beats, remove_beats
from distrain.train.crashes import log_sizes, with_crashes
from distrain.train.deaths import deaths_told, last_line, refusal_told
from distrain.train.faults import (
    NODE_LEFT,
    NODE_LOST,
    Fault,
    find_fault,
    read_failures,
    remove_failures,
)
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.journal_watch import watching
from distrain.train.line import Line
from distrain.train.nodes import Node, live_nodes
from distrain.train.oversight import Oversight
from distrain.train.placement import Placement
from distrain.train.system_metrics import recording_system_metrics
from distrain.train.trainer import ENVIRONMENT, TrainerMaker
from distrain.train.worker import STOP_FILE

LEASE_LOOK_S: Final = 1.0
STORAGE_PAUSE_S: Final = 10.0
"""How long storage that failed before an attempt is left alone: it may be away for a moment."""
LEAVE_S: Final = 10.0
"""How long workers that nobody waits for any more may take to be ended."""
_NO_ROOM: Final = "WorkerGroupStartupTimeoutError"

logger = logging.getLogger(__name__)


def run_training(  # noqa: PLR0913 - what a run needs of its driver
    job: TrainJob,
    placement: Placement,
    cluster: ClusterSettings,
    *,
    max_failures: int,
    import_paths: list[str],
    display: Display,
    line: Line | None = None,
) -> TrainOutcome:
    """Train on Ray's workers and return rank zero's outcome.

    Ctrl-C asks the workers to save their state and stop; a second one leaves at once.

    Args:
        job: what to train; `run_dir` must be reachable from every worker.
        placement: how many workers, and their resources.
        cluster: environment of the workers and the timeout of their collective calls.
        max_failures: losses of workers that are survived.
        import_paths: folders that the workers can import the user's code from.
        display: shown each `progress` record of the journal, and told of losses; from other
            threads.
        line: what holds room for the first workers; None: they are waited for where there is none.

    Raises:
        TrainError: training failed: the user's code raised, the loss was not finite, the same
            fault came again at one step (see `faults.verdict`), or workers were lost more often
            than `max_failures`.
        CheckpointError: another driver has taken the run over.
        KeyboardInterrupt: interrupted a second time, or while there was no room for the workers.
    """
    os.environ.update(ENVIRONMENT)
    run_dir = Path(job.run_dir)
    is_ours = partial(lease.is_held, run_dir, job.fence)
    with (
        watching(run_dir / JOURNAL, display),
        JournalWriter(run_dir / JOURNAL, "attempts", is_ours=is_ours) as record,
    ):
        driver = _Driver(job, placement, cluster, import_paths, record, line)
        try:
            return _interruptible(driver, max_failures)
        finally:
            _tidy(run_dir, is_ours)


def _tidy(run_dir: Path, is_ours: Callable[[], bool]) -> None:
    """Remove what a run's folder need not keep; how the run ended comes before what fails here."""
    try:
        if is_ours():  # else the files are another driver's by now
            for leftover in (".validate_storage_marker", STOP_FILE):
                (run_dir / leftover).unlink(missing_ok=True)
    except OSError as fault:
        logger.warning("%s is left as it is: %s", run_dir, fault)


@final
class _Driver:
    """Makes the attempts at a run, and asks their workers to stop where the user wants it."""

    def __init__(
        self,
        job: TrainJob,
        placement: Placement,
        cluster: ClusterSettings,
        import_paths: list[str],
        record: JournalWriter,
        line: Line | None,
    ) -> None:
        self._job = job
        self._run_dir = Path(job.run_dir)
        self._placement = placement
        self._record = record
        self._is_interrupted = threading.Event()
        self._is_left = threading.Event()
        self._trainers = TrainerMaker(
            job, placement, cluster, import_paths, self._is_left, self.note, line
        )
        self._line = line
        self._is_stop_asked = False
        self._is_failing = False
        self._log_sizes: dict[Path, int] = {}

    def note(self, text: str) -> None:
        """Tell the user something; a disk that takes nothing does not end the run."""
        try:
            self._record.note(text)
        except OSError as fault:
            logger.warning("not recorded (%s): %s", fault, text)

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags of the run, if the disk takes them."""
        try:
            self._record.tags(values)
        except OSError as fault:
            logger.warning("not recorded (%s): %s", fault, dict(values))

    def interrupt(self) -> None:
        """Ask the workers to save their state and stop, those of a later attempt too.

        Raises:
            CheckpointError: another has taken the run over; its workers go on.
        """
        self._is_interrupted.set()
        self._look()
        self.note("interrupted: the workers save their state at the next step")

    def leave(self, running: "Future[TrainOutcome]") -> None:
        """End the workers, and wait a little until whoever watches them has ended, too."""
        self._is_left.set()
        if not wait([running], timeout=LEAVE_S).done:
            logger.warning("workers of %s may run on: they did not end in time", self._run_dir)

    def run(self, max_failures: int) -> TrainOutcome:
        """Make attempts until one comes to an end; see `train_in_attempts`."""
        return train_in_attempts(self._attempt, self._wait_for_room, max_failures, self)

    def result_of(self, running: "Future[TrainOutcome]") -> TrainOutcome:
        """Wait for the outcome for as long as nobody else drives the run.

        Raises:
            CheckpointError: another has taken it over.
        """
        while not wait([running], timeout=LEASE_LOOK_S).done:
            self._look()
        return running.result()

    def _look(self) -> None:
        """Make sure that nobody else drives the run, and ask its workers to stop where they must.

        Storage that fails says nothing of either: the next look follows.

        Raises:
            CheckpointError: another has taken the run over.
        """
        try:
            lease.check(self._run_dir, self._job.fence)
            if self._is_interrupted.is_set() and not self._is_stop_asked:
                (self._run_dir / STOP_FILE).touch()
                self._is_stop_asked = True
            self._is_failing = False
        except OSError as fault:
            if not self._is_failing:
                logger.warning("%s cannot be looked at; tried again: %s", self._run_dir, fault)
            self._is_failing = True

    def _wait_for_room(self) -> int:
        """Return how many workers have room: those that it is held for, else when there is some."""
        held = 0 if self._line is None else self._line.num_held
        return held or wait_for_room(self._placement, live_nodes, self.note, self._check)

    def _check(self) -> None:
        if self._is_interrupted.is_set():
            raise KeyboardInterrupt

    def _attempt(self, number: int, num_workers: int) -> Ended:
        if self._is_left.is_set():
            raise KeyboardInterrupt
        try:
            self._prepare(number)
        except OSError as fault:
            self._is_left.wait(STORAGE_PAUSE_S)
            return Ended(fault=_storage_fault(fault))
        oversight = Oversight(self._run_dir, number, self._placement, num_workers, self.note)
        every_s = self._job.system_metrics_every_s
        with (
            _stream(self._job, num_workers) as hub,
            oversight.watching(),
            recording_system_metrics(self._run_dir, number, num_workers, every_s, self._job.fence),
        ):
            result, lost = _fit(self._trainers.make(number, num_workers, hub))
        self._take_in()
        if self._is_left.is_set():
            raise KeyboardInterrupt
        reason = None if self._is_interrupted.is_set() else oversight.reason
        if result is not None:
            return Ended(outcome=TrainOutcome.from_json(result), reason=reason)
        if type(getattr(lost, "controller_failure", None)).__name__ == _NO_ROOM:
            error = TrainError("there was no room for the workers after all")
            return Ended(fault=Fault("no_room", error, None))
        return Ended(fault=self._fault(lost, number))

    def _take_in(self) -> None:
        """Take in what workers of other hosts have left, where a store keeps the run."""
        link = link_of(self._run_dir)
        if link is None:
            return
        try:
            link.patiently(lambda: take_in_outcome(link))
        except OSError as fault:
            logger.warning("what the workers have left cannot be looked at: %s", fault)

    def _prepare(self, attempt: int) -> None:
        """Make the run's folder ready for an attempt.

        Raises:
            CheckpointError: another has taken the run over.
            OSError: storage failed.
        """
        lease.check(self._run_dir, self._job.fence)
        # Before the attempt begins, from when on other hosts are told of the file.
        (self._run_dir / STOP_FILE).unlink(missing_ok=True)
        if self._is_interrupted.is_set():
            (self._run_dir / STOP_FILE).touch()
        lease.begin_attempt(self._run_dir, self._job.fence, attempt)
        (self._run_dir / LOG_FOLDER).mkdir(parents=True, exist_ok=True)
        self._log_sizes = log_sizes(self._run_dir)
        remove_failures(self._run_dir)
        remove_beats(self._run_dir)

    def _fault(self, lost: Exception | None, attempt: int) -> Fault:
        refusal = refusal_told(lost)
        if refusal is not None:
            return Fault("user", refusal, None, refusal.error_class)
        deaths = deaths_told(lost)
        beats: dict[int, BeatRecord] = {}
        try:
            beats = read_beats(self._run_dir, attempt)
            deaths = with_crashes(deaths, self._run_dir, self._log_sizes)
        except OSError as fault:  # the step, or the crash, is then unknown
            logger.warning("%s: the workers' last words cannot be read: %s", self._run_dir, fault)
        return find_fault(
            read_failures(self._run_dir),
            _with_lost_nodes(deaths, beats, live_nodes()),
            last_step(beats),
            last_line(lost),
            [rank for rank, beat in beats.items() if beat.phase != "start"],
        )


def _with_lost_nodes(
    deaths: Mapping[int | None, str], beats: Mapping[int, BeatRecord], nodes: Sequence[Node]
) -> dict[int | None, str]:
    """Return what is said of workers that died, with what became of their nodes in its place.

    A node that left as it was announced is gone too by now, but is not lost. Each node is asked
    once: one that is silent takes its time.

    Args:
        deaths: what Ray says of the workers, by rank.
        beats: what the workers told last, by rank.
        nodes: those that Ray counts as alive.
    """
    there = {node.id: node for node in nodes}
    fates = {node: _fate(there.get(node)) for node in {beat.node for beat in beats.values()}}
    told = {rank: fates[beat.node] for rank, beat in beats.items()}
    lost: dict[int | None, str] = {rank: fate for rank, fate in told.items() if fate is not None}
    departed = {rank: said for rank, said in deaths.items() if said == NODE_LEFT}
    return {**deaths, **lost, **departed}


def _fate(node: Node | None) -> str | None:
    if node is not None and node.is_draining:
        return NODE_LEFT
    return NODE_LOST if node is None or not node.answers() else None


@contextmanager
def _stream(job: TrainJob, num_workers: int) -> Iterator[str | None]:
    """Keep the hub that training rows are streamed through, where they are."""
    if job.ingest == "prepared":
        yield None
        return
    # Ray Data takes seconds to import.
    from distrain.data.stream_on_ray import streaming

    files = [SourceFile(**file) for file in job.source_files]
    with streaming(job.prepared_dir, job.seed, num_workers, files) as hub:
        yield hub


def _storage_fault(fault: OSError) -> Fault:
    error = TrainError(
        f"{type(fault).__name__}: {fault}",
        where="the driver of the run",
        mend="Mend the storage of the run's folder, and resume",
    )
    return Fault("cluster", error, None, type(fault).__name__)


def _fit(trainer: Any) -> tuple[dict[str, Any] | None, Exception | None]:
    """Return rank zero's outcome, and what Ray Train failed with.

    Both are None after a failure that all workers decided on.
    """
    from ray.exceptions import RayError
    from ray.train import TrainingFailedError

    try:
        return trainer.fit().return_value, None
    except (TrainingFailedError, RayError) as error:
        return None, error


def _interruptible(driver: _Driver, max_failures: int) -> TrainOutcome:
    """Run in a thread, so that an interruption reaches this one and not Ray Train's."""
    running: Future[TrainOutcome] = Future()

    def run() -> None:
        try:
            running.set_result(driver.run(max_failures))
        except BaseException as error:  # raised where the outcome is waited for
            running.set_exception(error)

    # A daemon, because a pool's threads are waited for, even by a process that leaves.
    threading.Thread(target=run, name="ray-train", daemon=True).start()
    try:
        try:
            return driver.result_of(running)
        except KeyboardInterrupt:
            driver.interrupt()
            return driver.result_of(running)
    finally:
        if not running.done():
            driver.leave(running)
