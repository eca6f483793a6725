"""The other workers of a trial that has several: actors beside its slot, and as warm as that.

Each runs the loop as rank zero does, in a process group that is made for each attempt at a trial.
What ends an attempt on all workers alike leaves the actors for the next one. A worker that fails
alone leaves a record, and its process, so that the others miss it: see `crew.py` for what then.
"""

import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, final

from distrain.errors import TrainError
from distrain.redaction import hide, traceback_text
from distrain.secret_names import names_secret
from distrain.train.beat import LOG_FOLDER, beating
from distrain.train.faults import FAILURE_FILE, cause_of
from distrain.train.interface import exchange_where_ray_does
from distrain.train.job import GivenUpError, TrainJob
from distrain.train.meeting import meeting_store
from distrain.train.worker import STOP_FILE, StopFile, log_file
from distrain.train.world import World
from distrain.tune.faults import error_fields, not_begun
from distrain.tune.hangs import LOG, show_stacks_when_asked
from distrain.tune.host import JOB_FILE, Here, keep_logs, processes_folder, tell_others

LEFT_EXIT: Final = 71
"""Exit code of a process that has left word why."""
AGREED: Final = (GivenUpError, TrainError)
"""What the loop raises on all workers at the same step."""


def node_of_process() -> str:
    """Return Ray's id of this process's node."""
    ray: Any = importlib.import_module("ray")
    return str(ray.get_runtime_context().get_node_id())


def enter(common: Mapping[str, Any]) -> None:
    """Make this process the search's: its environment, and where the user's code lies."""
    os.environ.update(common["environment"])
    for name, text in common["environment"].items():
        if names_secret(name):
            hide(text)
    exchange_where_ray_does()
    show_stacks_when_asked()
    folders = common["import_paths"]
    sys.path[:] = [*folders, *(path for path in sys.path if path not in folders)]


@final
class Peer:
    """A worker of another rank than zero; a Ray actor.

    Args:
        common: as in `trial.run_slot`.
    """

    def __init__(self, common: Mapping[str, Any]) -> None:
        self._common = common
        self._open = contextlib.ExitStack()  # until the process ends
        enter(common)
        self._here = self._open.enter_context(processes_folder(common))

    def node(self) -> str:
        """Return Ray's id of the node."""
        return node_of_process()

    def train(self, work: Mapping[str, Any], world: Mapping[str, Any], port: int) -> None:
        """Take part in an attempt at a trial; a failure of its own ends this process.

        Args:
            work: as in `trial.run_slot`; with `host`, where rank zero is.
            world: this worker's, as `World` has it.
            port: of rank zero's store.
        """
        own = World(**world)
        rank = own.world_rank
        try:
            with attempt_folder(self._here, work, rank, self._common) as folder:
                try:
                    self._train(work, own, folder, port)
                except AGREED as error:
                    sys.stderr.write(traceback_text(error))
                except (Exception, SystemExit) as error:
                    sys.stderr.write(traceback_text(error))
                    keep_logs(folder)
                    _leave(error, folder, rank, work["attempt"], self._common)
        except TrainError as error:  # it has not begun
            _leave(error, Path(work["folder"]), rank, work["attempt"], self._common)

    def _train(self, work: Mapping[str, Any], world: World, folder: Path, port: int) -> None:
        from distrain.train import loop

        job = TrainJob.from_json(json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))
        rank = world.world_rank
        with beating(folder, rank, attempt=work["attempt"], node=self.node()) as beat:
            store = store_of_attempt(work["host"], port, world)
            with process_group(store, world, self._common["backend"]):
                stop = StopFile(self._here.sweep_dir / STOP_FILE)
                loop.train(job, world, None, stop, beat, ask=lambda *_: "go_on")


@contextlib.contextmanager
def attempt_folder(
    here: Here, work: Mapping[str, Any], rank: int, common: Mapping[str, Any]
) -> Iterator[Path]:
    """Give a trial's folder here for an attempt at it, and have its log there take what is printed.

    Args:
        here: where this process works.
        work: as in `trial.run_slot`.
        rank: this process's.
        common: as in `trial.run_slot`.

    Raises:
        TrainError: the disk or the store does not let it begin.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(here.trial(work, rank))
            stack.enter_context(log_file(folder / LOG_FOLDER / LOG.format(rank=rank)))
        except OSError as fault:
            raise not_begun(fault, Path(work["folder"]), rank, common) from fault
        yield folder


def _leave(
    error: BaseException, folder: Path, rank: int, attempt: int, common: Mapping[str, Any]
) -> NoReturn:
    """Leave a record of a failure, and end this process: the others wait for it elsewise."""
    record = {
        **error_fields(error, folder, rank, common),
        "rank": rank,
        "attempt": attempt,
        "is_of_peer": cause_of(error) == "peer",
        "time_s": time.time(),
    }
    # A peer of an earlier attempt may leave its own late: not in the place of this one's.
    path = folder / LOG_FOLDER / FAILURE_FILE.format(rank=f"{rank}-of-attempt-{attempt}")
    with contextlib.suppress(OSError):  # a full disk; that the process ended is told by Ray
        path.with_suffix(".partial").write_text(json.dumps(record), encoding="utf-8")
        path.with_suffix(".partial").replace(path)
        tell_others(folder, f"{LOG_FOLDER}/{path.name}")
    sys.stderr.flush()
    os._exit(LEFT_EXIT)


def store_of_attempt(host: str, port: int, world: World) -> Any:
    """Return what the workers meet at: rank zero's own, on any port, or one that leads there."""
    return meeting_store(
        host,
        port,
        world.world_size,
        is_master=world.is_rank_zero,
        timeout=timedelta(seconds=world.collective_timeout_s),
        wait_for_workers=False,
    )


@contextlib.contextmanager
def process_group(store: Any, world: World, backend: str) -> Iterator[None]:
    """Make the process group of an attempt, for the length of a `with` block; all must call."""
    dist: Any = importlib.import_module("torch.distributed")
    dist.init_process_group(
        backend,
        store=store,
        rank=world.world_rank,
        world_size=world.world_size,
        timeout=timedelta(seconds=world.collective_timeout_s),
    )
    try:
        yield
        dist.barrier()
    except AGREED:
        raise
    except BaseException:  # goes through; the others must not be waited for
        if backend == "nccl":  # which waits for what the others will not send
            dist.group.WORLD.abort()
        raise
    finally:
        dist.destroy_process_group()
