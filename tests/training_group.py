"""Training in several processes of this machine, over gloo on loopback, without Ray."""

import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distrain.train.job import TrainJob

TIMEOUT_S = 120


def train_in_group(
    world_size: int, jobs: Sequence[TrainJob], folder: Path
) -> list[list[dict[str, Any]]]:
    """Run jobs one after another in a group of processes; return outcomes by job and rank."""
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    plain = [job.to_json() for job in jobs]
    workers = [
        context.Process(target=_worker, args=(rank, world_size, port, plain, str(folder)))
        for rank in range(world_size)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(TIMEOUT_S)
    assert [worker.exitcode for worker in workers] == [0] * world_size
    return [
        [
            json.loads((folder / f"{number}-{rank}.json").read_text(encoding="utf-8"))
            for rank in range(world_size)
        ]
        for number in range(len(jobs))
    ]


def _worker(rank: int, world_size: int, port: int, jobs: list[dict[str, Any]], out: str) -> None:
    import torch.distributed as dist

    from distrain.errors import DistrainError
    from distrain.train.loop import TrainJob, train
    from distrain.train.world import World

    if world_size > 1:
        address = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world_size)
    world = World(
        world_size=world_size,
        world_rank=rank,
        local_world_size=world_size,
        local_rank=rank,
        device="cpu",
    )
    for number, job in enumerate(jobs):
        try:
            result = train(TrainJob.from_json(job), world).to_json()
        except DistrainError as error:
            result = {"error": type(error).__name__, "message": str(error)}
        path = Path(out) / f"{number}-{rank}.json"
        path.write_text(json.dumps(result), encoding="utf-8")
    if world_size > 1:
        dist.barrier()
    sys.stdout.flush()
    # gloo's threads may abort a process that ends in the usual way.
    os._exit(0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
