"""Training in several processes of this machine, over gloo on loopback, without Ray."""

import contextlib
import itertools
import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from distrain.train.job import Answer, GivenUpError, TrainJob

TIMEOUT_S = 120
# Imported once, in the process that workers are forked from: each would take seconds. The last is
# what torch imports where deterministic kernels are asked for.
PRELOADED = ["torch.distributed", "distrain.train.loop", "torch._inductor.config"]


@dataclass(frozen=True)
class Group:
    """Jobs to run one after another on a number of workers.

    Args:
        world_size: how many.
        jobs: what to run.
        is_near: whether the workers know that they share a machine.
        device: where they compute, all of them; `cuda`: on a GPU each, over nccl.
        machine_size: how many think that they share a machine, where it is neither one nor all.
        killed_after: steps after which each job ends as if its processes were killed; None: never.
        answers: what rank zero answers to evaluations, one after the other; then `go_on`.
        timeout_s: of an exchange between workers.
        storage_s: how long rank zero's storage takes for a file of tensors, to be read or written.
    """

    world_size: int
    jobs: Sequence[TrainJob]
    is_near: bool = True
    device: str = "cpu"
    machine_size: int | None = None
    killed_after: int | None = None
    answers: Sequence[Answer] = ()
    timeout_s: float = 300.0
    storage_s: float = 0.0


class Killed(BaseException):
    """Stands for the death of all processes at once."""


def train_in_groups(
    groups: Sequence[Group], folder: Path, timeout_s: float = TIMEOUT_S
) -> list[list[list[dict[str, Any]]]]:
    """Run groups one after another in the same processes, which take seconds to start.

    Args:
        groups: what to run.
        folder: where outcomes are kept.
        timeout_s: for all of it.

    Returns:
        Outcomes by group, job and rank; those of an error have its `error` and `message`, those of
        a killed job nothing.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ports = [_free_port() for _ in groups]
    workers = [
        context.Process(target=_worker, args=(rank, list(groups), ports, folder))
        for rank in range(max(group.world_size for group in groups))
    ]
    for worker in workers:
        worker.start()
    _wait_for(workers, timeout_s)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    return [
        [
            [
                json.loads(_path(folder, index, number, rank).read_text(encoding="utf-8"))
                for rank in range(group.world_size)
            ]
            for number in range(len(group.jobs))
        ]
        for index, group in enumerate(groups)
    ]


def _wait_for(workers: Sequence[multiprocessing.process.BaseProcess], timeout_s: float) -> None:
    """Wait until all have ended, or one has failed, which leaves the others waiting for it."""
    running = list(workers)
    ends = time.monotonic() + timeout_s
    while running and time.monotonic() < ends and not any(worker.exitcode for worker in workers):
        multiprocessing.connection.wait([worker.sentinel for worker in running], timeout=1.0)
        running = [worker for worker in running if worker.exitcode is None]
    for worker in running:
        worker.terminate()
        worker.join()


def _path(folder: Path, group: int, job: int, rank: int) -> Path:
    return folder / f"group-{group}-job-{job}-rank-{rank}.json"


def _worker(rank: int, groups: list[Group], ports: list[int], folder: Path) -> None:
    import torch.distributed as dist
    from torch.distributed import distributed_c10d

    # What reads ahead is forked, as from a worker of Ray's; as from here it would be imported anew.
    multiprocessing.set_start_method("fork", force=True)
    for index, group in enumerate(groups):
        if rank >= group.world_size:
            continue
        dist.init_process_group(
            "nccl" if group.device == "cuda" else "gloo",
            init_method=f"tcp://127.0.0.1:{ports[index]}",
            rank=rank,
            world_size=group.world_size,
        )
        # Not before: processes do not begin at once.
        distributed_c10d._set_pg_timeout(timedelta(seconds=group.timeout_s), dist.group.WORLD)
        for number, job in enumerate(group.jobs):
            with _slowed_down(group.storage_s if rank == 0 else 0.0):
                result = json.dumps(_outcome(job, rank, group))
            _path(folder, index, number, rank).write_text(result, encoding="utf-8")
        dist.barrier()
        dist.destroy_process_group()
    sys.stdout.flush()
    # gloo's threads may abort a process that ends in the usual way.
    os._exit(0)


def _outcome(job: TrainJob, rank: int, group: Group) -> dict[str, Any]:
    from distrain.errors import DistrainError
    from distrain.train.loop import train
    from distrain.train.world import World

    local_size = group.machine_size or (group.world_size if group.is_near else 1)
    machine, local_rank = divmod(rank, local_size)
    device = f"cuda:{rank}" if group.device == "cuda" else group.device
    world = World(group.world_size, rank, local_rank, machine, device, group.timeout_s)
    answers = iter(group.answers)

    def ask(_step: int, _epoch: int, _is_end: bool) -> Answer:
        return next(answers, "go_on")

    try:
        stop_requested = _executioner(group.killed_after)
        return train(job, world, stop_requested=stop_requested, ask=ask).to_json()
    except GivenUpError:
        return {"error": "GivenUpError"}
    except DistrainError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Killed:
        return {}


def _executioner(killed_after: int | None) -> Callable[[], bool]:
    """Return what is asked before every step, and raises `Killed` after so many."""
    steps = itertools.count()

    def stop_requested() -> bool:
        if next(steps) == killed_after:
            raise Killed
        return False

    return stop_requested


@contextlib.contextmanager
def _slowed_down(storage_s: float) -> Iterator[None]:
    """Let this process's storage take so long for each file of tensors."""
    from distrain.train import checkpoint, taking_up

    def slow(call: Callable[..., Any]) -> Callable[..., Any]:
        def slowed(*args: Any) -> Any:
            time.sleep(storage_s)
            return call(*args)

        return slowed

    with (
        mock.patch.object(checkpoint, "write_tensors", slow(checkpoint.write_tensors)),
        mock.patch.object(taking_up, "_read_hashing", slow(taking_up._read_hashing)),
    ):
        yield


def _free_port() -> int:
    """Return a port below those that others are given: it is listened on minutes later."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
