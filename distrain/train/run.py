"""The driver of one training run: a `TrainJob` on Ray Train's workers, watched to its end.

The workers append to the run's journal; this side reads it for the display. Nothing is reported
through Ray Train, whose reports cost seconds each, and its checkpoints are not used: the loop finds
the newest good one itself when Ray Train starts the workers again.
"""

import importlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distrain.config.settings import ClusterSettings
from distrain.errors import TrainError
from distrain.track.journal import read_journal
from distrain.train.loop import TrainJob, TrainOutcome
from distrain.train.placement import Placement
from distrain.train.worker import (
    STOP_FILE,
    failure_error,
    read_failures,
    train_fn_per_worker,
)

WATCH_INTERVAL_S = 0.25

# Rank zero's outcome, and what Ray Train failed with: one of them is None.
_Fitted = tuple[dict[str, Any] | None, Exception | None]
# How often Ray Train's controller looks at its workers; its default of 2 s delays every end.
_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def run_training(
    job: TrainJob,
    placement: Placement,
    cluster: ClusterSettings,
    *,
    max_failures: int,
    import_paths: list[str],
    on_progress: Callable[[Mapping[str, Any]], None],
) -> TrainOutcome:
    """Train on Ray's workers and return rank zero's outcome.

    Args:
        job: what to train; `run_dir` must be reachable from every worker.
        placement: how many workers, and their resources.
        cluster: environment of the workers and the timeout of their collective calls.
        max_failures: losses of workers that are survived.
        import_paths: folders that the workers can import the user's code from.
        on_progress: called with each `progress` record of the journal, from another thread.

    Raises:
        TrainError: training failed: the user's code raised, the loss was not finite, or more
            workers were lost than `max_failures`.
    """
    os.environ.update(_ENVIRONMENT)
    trainer = _trainer(job, placement, cluster, max_failures, import_paths)
    run_dir = Path(job.run_dir)
    with _watching(run_dir / "journal", on_progress):
        result, lost = _fit(trainer, run_dir)
    for leftover in (".validate_storage_marker", STOP_FILE):
        (run_dir / leftover).unlink(missing_ok=True)
    failures = read_failures(run_dir)
    if failures:
        raise failure_error(failures[0])
    if lost is not None or result is None:
        raise TrainError(
            f"the workers were lost more than {max_failures} times ({_last_line(lost)})",
            where=str(run_dir),
            mend=f"Raise train.max_failures; the workers' logs are in {run_dir / 'logs'}",
        ) from lost
    return TrainOutcome.from_json(result)


def _trainer(
    job: TrainJob,
    placement: Placement,
    cluster: ClusterSettings,
    max_failures: int,
    import_paths: list[str],
) -> Any:
    # Untyped: Ray's annotations are those of the older interface, which takes other arguments.
    ray_train: Any = importlib.import_module("ray.train")
    ray_torch: Any = importlib.import_module("ray.train.torch")
    run_dir = Path(job.run_dir)
    resources = {"CPU": placement.cpu} | ({"GPU": placement.gpu} if placement.gpu else {})
    return ray_torch.TorchTrainer(
        train_fn_per_worker,
        train_loop_config={
            "job": job.to_json(),
            "import_paths": import_paths,
            "has_gpu": placement.gpu > 0,
            "collective_timeout_s": cluster.collective_timeout_s,
        },
        scaling_config=ray_train.ScalingConfig(
            num_workers=placement.num_workers,
            use_gpu=placement.gpu > 0,
            resources_per_worker=resources,
        ),
        run_config=ray_train.RunConfig(
            name=run_dir.name,
            storage_path=str(run_dir.parent),
            failure_config=ray_train.FailureConfig(max_failures=max_failures),
            worker_runtime_env={"env_vars": cluster.env} if cluster.env else None,
            logging_config=ray_train.LoggingConfig(log_level="ERROR"),
        ),
        torch_config=ray_torch.TorchConfig(
            backend=placement.collective_backend,
            timeout_s=math.ceil(cluster.collective_timeout_s),
        ),
    )


def _fit(trainer: Any, run_dir: Path) -> _Fitted:
    """Run the trainer in a thread, so that an interruption reaches this one and not Ray Train's.

    Ctrl-C asks the workers to save their state and stop; a second one leaves at once.
    """
    fitting: Future[_Fitted] = Future()

    def fit() -> None:
        try:
            fitting.set_result(_fit_here(trainer))
        except BaseException as error:
            fitting.set_exception(error)

    # A daemon, because a pool's threads are waited for, even by a process that leaves.
    threading.Thread(target=fit, name="ray-train", daemon=True).start()
    try:
        return fitting.result()
    except KeyboardInterrupt:
        (run_dir / STOP_FILE).touch()
        return fitting.result()


def _fit_here(trainer: Any) -> _Fitted:
    from ray.train import TrainingFailedError

    try:
        return trainer.fit().return_value, None
    except TrainingFailedError as error:
        return None, error


def _last_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines() if error else []
    return lines[-1].strip()[:300] if lines else "no worker came to an end"


@contextmanager
def _watching(journal: Path, on_progress: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Pass the journal's progress records on from a thread, until the block ends."""
    has_ended = threading.Event()

    def watch() -> None:
        positions: dict[str, int] = {}
        is_last = False
        while not is_last:
            is_last = has_ended.wait(WATCH_INTERVAL_S)
            records, positions = read_journal(journal, positions)
            for record in records:
                if record.kind == "progress":
                    on_progress(record.payload)

    thread = threading.Thread(target=watch, name="journal-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()
