"""What runs inside a Ray Train worker: its rank and log file around the loop that needs no Ray.

A worker that fails leaves a `failure` record beside its log, with whose fault it is (see
`faults.py`): the driver reads it. A fault that all workers decided on (`TrainError`) ends the
attempt normally; any other exception is raised, so that Ray Train takes the group down at once.
"""

import contextlib
import json
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from distrain import lease
from distrain.errors import DistrainError, TrainError
from distrain.listing import has_come
from distrain.object_store.link import link_of, shown
from distrain.object_store.live import put_last_words, put_outcome
from distrain.object_store.work_link import worker_folder
from distrain.redaction import RedactingFormatter, hide, traceback_text
from distrain.run_folder import JOURNAL
from distrain.secret_names import names_secret
from distrain.train.beat import LOG_FOLDER, beating
from distrain.train.crashes import LOG_FILE
from distrain.train.faults import FAILURE_FILE, cause_of
from distrain.train.hosts import check_run_folder

if TYPE_CHECKING:
    from distrain.data.streamed import Feed
    from distrain.track.journal import JournalWriter
    from distrain.train.job import TrainOutcome

STOP_FILE: Final = ".stop"
"""Below a run's folder: tells its workers to save their state at the next step, and end."""
STOP_INTERVAL_S: Final = 0.5
_STEP_NOTE: Final = re.compile(r"step \d+")


def train_fn_per_worker(config: dict[str, Any]) -> dict[str, Any] | None:
    """Run the training loop as one of Ray Train's workers; all ranks must call.

    Args:
        config: `job` (a `TrainJob` as JSON), `attempt` (its number, from 1), `import_paths`
            (folders of the user's code), `environment` (variables to set here), `has_gpu` (whether
            Ray reserved a GPU, several, or a part of one for each worker), `collective_timeout_s`
            (as `World` takes it), `stream` (name of the hub that training rows are streamed
            through; None: they are not) and `store` (as `worker_folder` takes it; None: the run's
            folder is where it is kept).

    Returns:
        Rank zero's outcome as JSON; None from other ranks, and from all of them after a failure
        that all of them decided on.

    Raises:
        TrainError: this host does not see the run's folder, where a record could be left.
    """
    import ray
    import ray.train

    os.environ.update(config["environment"])
    for name, text in config["environment"].items():
        if names_secret(name):
            hide(text)
    context = ray.train.get_context()
    rank = context.get_world_rank()
    node = ray.get_runtime_context().get_node_id()
    with (
        _run_folder(config, rank) as run_dir,
        log_file(run_dir / LOG_FOLDER / LOG_FILE.format(rank=rank)),
        beating(run_dir, rank, attempt=config["attempt"], node=node) as beat,
    ):
        folders = config["import_paths"]
        sys.path[:] = [*folders, *(path for path in sys.path if path not in folders)]
        return _train(config, context, run_dir, beat)


@contextlib.contextmanager
def _run_folder(config: dict[str, Any], rank: int) -> Iterator[Path]:
    """Give the run's folder on this host."""
    run_dir = Path(config["job"]["run_dir"])
    if config["store"] is None:
        check_run_folder(run_dir, rank)
        yield run_dir
        return
    with worker_folder(config["store"], rank) as folder:
        yield folder


def _train(
    config: dict[str, Any], context: Any, run_dir: Path, beat: Callable[[str, int], None]
) -> dict[str, Any] | None:
    from distrain.train import loop
    from distrain.train.world import World

    rank = context.get_world_rank()
    world = World(
        world_size=context.get_world_size(),
        world_rank=rank,
        local_rank=context.get_local_rank(),
        node_rank=context.get_node_rank(),
        device=own_device(has_gpu=config["has_gpu"]),
        collective_timeout_s=config["collective_timeout_s"],
    )
    job = loop.TrainJob.from_json({**config["job"], "run_dir": str(run_dir)})
    is_ours = partial(lease.is_held, run_dir, job.fence, job.attempt)  # else it is another's by now
    try:
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(_journal(run_dir, is_ours)) if rank == 0 else None
            stop_requested = StopFile(run_dir / STOP_FILE)
            feed = _feed(config["stream"], rank)
            outcome = loop.train(job, world, writer, stop_requested, beat, feed)
        if rank == 0:
            outcome = _for_driver(outcome, run_dir, Path(config["job"]["run_dir"]))
    except (Exception, SystemExit) as error:
        is_told = is_ours() and _write_failure(run_dir, rank, error)
        if not (is_told and isinstance(error, TrainError)):
            _raise_without_secrets(error)  # Ray then tells the driver something, at least
        return None
    return outcome.to_json() if rank == 0 else None


def _for_driver(outcome: "TrainOutcome", run_dir: Path, driver_dir: Path) -> "TrainOutcome":
    """Return an outcome whose files lie where the driver sees them."""
    link = link_of(run_dir)
    if link is None or not outcome.weights_file:
        return outcome
    link.patiently(lambda: put_outcome(link))
    place = driver_dir / Path(outcome.weights_file).relative_to(run_dir)
    return replace(outcome, weights_file=str(place))


def _raise_without_secrets(error: BaseException) -> NoReturn:
    """Raise an error for Ray, which writes its text to logs of its own and to the driver's."""
    told = traceback_text(error)
    if told == "".join(traceback.format_exception(error)):
        raise error
    raise RuntimeError(told) from None


def _feed(hub: str | None, rank: int) -> "Feed | None":
    if hub is None:
        return None
    from distrain.data.stream_on_ray import HubFeed

    return HubFeed(hub, rank)


def own_device(*, has_gpu: bool) -> str:
    """Return where this worker of Ray Train's computes: `cpu`, or the first of its GPUs.

    Args:
        has_gpu: whether Ray reserved a GPU, several, or a part of one for each worker.
    """
    if not has_gpu:
        return "cpu"  # though it may see the GPUs of the machine
    # Workers of a node see one another's GPUs, of which each may have several or a part of one, so
    # the rank does not tell which are its own.
    from ray.train.torch import get_device

    return str(get_device())


@final
class StopFile:
    """Asks, once in a while, whether the driver has put a file there that says stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_look = 0.0

    def __call__(self) -> bool:
        """Return whether the file is there."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + STOP_INTERVAL_S
        return has_come(self._path)


def _journal(run_dir: Path, is_ours: Callable[[], bool]) -> "JournalWriter":
    from distrain.track.journal import JournalWriter

    return JournalWriter(run_dir / JOURNAL, "rank0", is_of_loop=True, is_ours=is_ours)


def _write_failure(run_dir: Path, rank: int, error: BaseException) -> bool:
    """Leave a record of what ended the training; return whether the disk took it."""
    path = run_dir / LOG_FOLDER / FAILURE_FILE.format(rank=rank)
    log = shown(run_dir / LOG_FOLDER / LOG_FILE.format(rank=rank))
    steps = [note for note in getattr(error, "__notes__", ()) if _STEP_NOTE.fullmatch(note)]
    where = ", ".join([f"worker of rank {rank}", *steps])
    told = (
        error
        if isinstance(error, DistrainError)
        else TrainError(f"{type(error).__name__}: {error}", where=where)
    )
    mend = told.mend or f"The traceback is in {log}"
    record = {
        **told.to_json(),
        "mend": mend,
        "cause": cause_of(error),
        "raised": getattr(error, "error_class", "") or type(error).__name__,
        "step": int(steps[0].removeprefix("step ")) if steps else None,
        "time_s": time.time(),
    }
    sys.stderr.write(traceback_text(error))
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(json.dumps(record), encoding="utf-8")
        partial.replace(path)
        link = link_of(run_dir)
        if link is not None:
            put_last_words(link, rank)
    except OSError:
        traceback.print_exc()
        return False
    return True


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Send everything that this process prints or logs to a file, native libraries included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("distrain")
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers, logger.propagate, logger.level = before
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)
