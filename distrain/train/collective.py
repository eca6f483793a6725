"""The few exchanges between workers outside the step; with one worker they do nothing.

All workers must call each of these alike.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from distrain.errors import TrainError, error_from_json
from distrain.train.world import World

# Of a broadcast's memory on a GPU.
CHUNK_BYTES: Final = 64 * 2**20


def gather_rows(rows: npt.NDArray[Any], counts: Sequence[int], world: World) -> npt.NDArray[Any]:
    """Return the rows of all workers in the order of their ranks, on every worker.

    Args:
        rows: this worker's rows, `(counts[world_rank], width)`, float32, float64 or int64.
        counts: rows of each worker.
        world: sizes and ranks.

    Returns:
        Shape `(sum(counts), width)`.
    """
    if world.world_size == 1:
        return rows
    # Collectives want equal shapes, so short shares are filled up and cut again.
    padded = torch.zeros(max(counts), rows.shape[1], dtype=torch.from_numpy(rows).dtype)
    padded[: len(rows)] = torch.from_numpy(rows)
    padded = padded.to(world.torch_device)
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    pieces = [piece[:count].cpu().numpy() for piece, count in zip(gathered, counts, strict=True)]
    return np.concatenate(pieces)


def sum_counts(counts: npt.NDArray[np.int64], world: World) -> npt.NDArray[np.int64]:
    """Return the sum of integer arrays of equal shape over the workers."""
    if world.world_size == 1:
        return counts
    total = torch.from_numpy(counts).to(world.torch_device)
    dist.all_reduce(total)
    summed: npt.NDArray[np.int64] = total.cpu().numpy()
    return summed


def from_rank_zero(values: Sequence[float], world: World) -> list[float]:
    """Return rank zero's values on every worker.

    Args:
        values: as many on every worker; only rank zero's count.
        world: sizes and ranks.
    """
    if world.world_size == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64, device=world.torch_device)
    dist.broadcast(shared, 0)
    return [float(value) for value in shared.tolist()]


def bytes_from_rank_zero(content: npt.NDArray[np.uint8], world: World) -> npt.NDArray[np.uint8]:
    """Return rank zero's bytes on every worker.

    Args:
        content: only rank zero's count; uint8, `(bytes,)`.
        world: sizes and ranks.
    """
    if world.world_size == 1:
        return content
    length = int(from_rank_zero([len(content)], world)[0])
    received = content if world.is_rank_zero else np.empty(length, np.uint8)
    for start in range(0, length, CHUNK_BYTES):
        # A view: what arrives on a CPU is there already.
        own = torch.from_numpy(received[start : start + CHUNK_BYTES])
        chunk = own.to(world.torch_device)
        dist.broadcast(chunk, 0)
        own.copy_(chunk)
    return received


def raise_with_rank_zero(fault: TrainError | None, world: World) -> None:
    """Raise on every worker what only rank zero has found, so that all of them end alike.

    Args:
        fault: only rank zero's counts; None: there is none, and nothing is raised.
        world: sizes and ranks.

    Raises:
        TrainError: rank zero's.
    """
    told = b"" if fault is None else json.dumps(fault.to_json()).encode()
    received = bytes_from_rank_zero(np.frombuffer(bytearray(told), np.uint8), world)
    if world.is_rank_zero and fault is not None:
        raise fault
    if len(received):
        raise error_from_json(json.loads(received.tobytes()))


def barrier(world: World) -> None:
    """Wait until all workers are here."""
    if world.world_size > 1:
        dist.barrier()
