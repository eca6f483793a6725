"""The driver of one training run: a `TrainJob` on Ray Train's workers, watched to its end.

The workers append to the run's journal; this side reads it for the display. Nothing is reported
through Ray Train, whose reports cost seconds each, and its checkpoints are not used: the loop finds
the newest good one itself. Each attempt at the run is a run of Ray Train's of its own, that ends
with the first fault; see `attempts.py` for what comes then.

`RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S` limits the wait for a placement group alone: however long
32 workers take to import torch from a network disk, they are waited for, and then have
`cluster.collective_timeout_s` to meet (Ray 2.60.0).

From the SIGKILL of one of two workers to the next new step it took 10.2 s (median of 4, at most
10.9) on two cores, of which the noticing took less than 2. The rest starts six processes, two of
them the workers, whose imports of ray.train and torch alone take about 12 s of CPU time in all
(2026-11-21). `fit` is waited for without a limit, but not for ever: where the cluster goes, Ray
ends this process, 61 s after its control store was killed and 14 s after its own node's raylet was.
"""

import importlib
import logging
import math
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from distrain import lease
from distrain.background import in_background
from distrain.config.settings import ClusterSettings
from distrain.data.files import SourceFile
from distrain.display import Display
from distrain.errors import TrainError
from distrain.run_folder import JOURNAL
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import list_segments, read_journal
from distrain.train.attempts import Ended, train_in_attempts, wait_for_room
from distrain.train.beat import LOG_FOLDER, last_step, read_beats, remove_beats
from distrain.train.faults import (
    NODE_LEFT,
    NODE_LOST,
    Fault,
    find_fault,
    read_failures,
    remove_failures,
)
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.nodes import live_nodes
from distrain.train.oversight import Oversight
from distrain.train.placement import Placement
from distrain.train.system_metrics import recording_system_metrics
from distrain.train.worker import STOP_FILE, train_fn_per_worker
from distrain.train.worker_environment import part_environment

WATCH_INTERVAL_S: Final = 0.25
LEASE_LOOK_S: Final = 1.0
PLACEMENT_TIMEOUT_S: Final = 60
_NO_ROOM: Final = "WorkerGroupStartupTimeoutError"

# How often Ray Train's controller looks at its workers; its default of 2 s delays every end.
_ENVIRONMENT: Final = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(PLACEMENT_TIMEOUT_S),
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}

logger = logging.getLogger(__name__)


def run_training(
    job: TrainJob,
    placement: Placement,
    cluster: ClusterSettings,
    *,
    max_failures: int,
    import_paths: list[str],
    display: Display,
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

    Raises:
        TrainError: training failed: the user's code raised, the loss was not finite, the same
            fault came twice at one step, or workers were lost more often than `max_failures`.
        CheckpointError: another driver has taken the run over.
        KeyboardInterrupt: interrupted a second time, or while there was no room for the workers.
    """
    os.environ.update(_ENVIRONMENT)
    run_dir = Path(job.run_dir)
    with (
        _watching(run_dir / JOURNAL, display),
        JournalWriter(run_dir / JOURNAL, "attempts") as record,
    ):
        driver = _Driver(job, placement, cluster, import_paths, record)
        try:
            return _interruptible(driver, max_failures)
        finally:
            if lease.is_held(run_dir, job.fence):  # else the files are another driver's by now
                for leftover in (".validate_storage_marker", STOP_FILE):
                    (run_dir / leftover).unlink(missing_ok=True)


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
    ) -> None:
        self._job = job
        self._run_dir = Path(job.run_dir)
        self._placement = placement
        self._cluster = cluster
        self._import_paths = import_paths
        self._record = record
        self._is_interrupted = threading.Event()

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
        """Ask the workers to save their state and stop, those of a later attempt too."""
        self.note("interrupted: the workers save their state at the next step")
        self._is_interrupted.set()
        (self._run_dir / STOP_FILE).touch()

    def run(self, max_failures: int) -> TrainOutcome:
        """Make attempts until one comes to an end; see `train_in_attempts`."""
        return train_in_attempts(
            self._attempt,
            lambda: wait_for_room(self._placement, live_nodes, self.note, self._check),
            max_failures,
            self,
        )

    def result_of(self, running: "Future[TrainOutcome]") -> TrainOutcome:
        """Wait for the outcome for as long as nobody else drives the run.

        Raises:
            CheckpointError: another has taken it over.
        """
        while not wait([running], timeout=LEASE_LOOK_S).done:
            lease.check(self._run_dir, self._job.fence)
        return running.result()

    def _check(self) -> None:
        if self._is_interrupted.is_set():
            raise KeyboardInterrupt

    def _attempt(self, number: int, num_workers: int) -> Ended:
        lease.check(self._run_dir, self._job.fence)
        lease.begin_attempt(self._run_dir, self._job.fence, number)
        (self._run_dir / LOG_FOLDER).mkdir(parents=True, exist_ok=True)
        remove_failures(self._run_dir)
        remove_beats(self._run_dir)
        (self._run_dir / STOP_FILE).unlink(missing_ok=True)
        if self._is_interrupted.is_set():
            (self._run_dir / STOP_FILE).touch()
        oversight = Oversight(self._run_dir, number, self._placement, num_workers, self.note)
        every_s = self._job.system_metrics_every_s
        with (
            _stream(self._job, num_workers) as hub,
            oversight.watching(),
            recording_system_metrics(self._run_dir, number, num_workers, every_s, self._job.fence),
        ):
            result, lost = _fit(self._trainer(number, num_workers, hub))
        reason = None if self._is_interrupted.is_set() else oversight.reason
        if result is not None:
            return Ended(outcome=TrainOutcome.from_json(result), reason=reason)
        if type(getattr(lost, "controller_failure", None)).__name__ == _NO_ROOM:
            error = TrainError("there was no room for the workers after all")
            return Ended(fault=Fault("no_room", error, None))
        return Ended(fault=self._fault(lost, number))

    def _fault(self, lost: Exception | None, attempt: int) -> Fault:
        beats = read_beats(self._run_dir, attempt)
        deaths = deaths_told(lost)
        nodes = {node.id: node for node in live_nodes()}
        for rank, beat in beats.items():
            node = nodes.get(beat.node)
            if node is not None and node.is_draining:
                deaths[rank] = NODE_LEFT
            elif node is None or not node.answers():
                deaths[rank] = NODE_LOST
        return find_fault(read_failures(self._run_dir), deaths, last_step(beats), _last_line(lost))

    def _trainer(self, attempt: int, num_workers: int, hub: str | None) -> Any:
        # Untyped: Ray's annotations are those of the older interface, which takes other arguments.
        ray_train: Any = importlib.import_module("ray.train")
        ray_torch: Any = importlib.import_module("ray.train.torch")
        placement, cluster = self._placement, self._cluster
        told, own = part_environment(cluster.env, self._job.model.get("args") or {})
        config = {
            "job": replace(self._job, attempt=attempt).to_json(),
            "attempt": attempt,
            "import_paths": self._import_paths,
            "environment": own,
            "has_gpu": placement.gpu > 0,
            "collective_timeout_s": cluster.collective_timeout_s,
            "stream": hub,
        }
        resources = {"CPU": placement.cpu} | ({"GPU": placement.gpu} if placement.gpu else {})
        return ray_torch.TorchTrainer(
            # Ray's dashboard shows a train_loop_config, and URIs in the job may hold credentials.
            partial(train_fn_per_worker, config),
            scaling_config=ray_train.ScalingConfig(
                num_workers=num_workers,
                use_gpu=placement.gpu > 0,
                resources_per_worker=resources,
            ),
            run_config=ray_train.RunConfig(
                name=self._run_dir.name,
                storage_path=str(self._run_dir.parent),
                failure_config=ray_train.FailureConfig(
                    max_failures=0, controller_failure_limit=0, max_preemption_failures=0
                ),
                worker_runtime_env={"env_vars": told} if told else None,
                logging_config=ray_train.LoggingConfig(log_level="ERROR"),
            ),
            torch_config=ray_torch.TorchConfig(
                backend=placement.collective_backend,
                timeout_s=math.ceil(cluster.collective_timeout_s),
            ),
        )


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


def deaths_told(lost: Exception | None) -> dict[int, str]:
    """Return what Ray says of the workers whose processes died, by rank.

    Args:
        lost: what a trainer raised.
    """
    from ray.exceptions import RayActorError

    deaths: dict[int, str] = {}
    for rank, failure in getattr(lost, "worker_failures", {}).items():
        cause = getattr(failure, "health_check_failure", failure)
        if isinstance(cause, RayActorError):
            deaths[rank] = NODE_LEFT if cause.preempted else str(cause)
    return deaths


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
        except BaseException as error:
            running.set_exception(error)

    # A daemon, because a pool's threads are waited for, even by a process that leaves.
    threading.Thread(target=run, name="ray-train", daemon=True).start()
    try:
        return driver.result_of(running)
    except KeyboardInterrupt:
        driver.interrupt()
        return driver.result_of(running)


def _last_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines() if error else []
    return lines[-1].strip()[:300] if lines else "no worker came to an end"


def _watching(journal: Path, display: Display) -> AbstractContextManager[None]:
    """Show the journal's new progress records and notes from a thread, until the block ends."""
    positions = {path.name: path.stat().st_size for path in list_segments(journal)}

    def watch(has_ended: threading.Event) -> None:
        nonlocal positions
        is_last = False
        while not is_last:
            is_last = has_ended.wait(WATCH_INTERVAL_S)
            records, positions = read_journal(journal, positions)
            for record in records:
                if record.kind == "progress":
                    display.progress(record.payload)
                elif record.kind == "note":
                    display.note(record.payload["text"])

    return in_background(watch, "journal-watch")
