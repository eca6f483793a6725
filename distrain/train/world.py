"""How many workers there are and which one this is, as one value. Pure."""

import itertools
from dataclasses import dataclass
from typing import final

import torch


@final
@dataclass(frozen=True)
class World:
    """Sizes and ranks as one worker sees them; the names are those of Ray's train context.

    With `world_size` above one, `torch.distributed`'s default process group must be initialised
    with the same size and rank.

    Args:
        world_size: workers in all, at least 1.
        world_rank: this worker's number, from 0; rank zero writes and records.
        local_rank: this worker's number on its node.
        node_rank: this node's number.
        device: where this worker computes: `cpu`, `cuda:<index>`, or `auto`: the GPU of its local
            rank where there are GPUs, else the CPU; for a process that Ray did not start.
        collective_timeout_s: seconds after which an exchange between workers is given up.
    """

    world_size: int = 1
    world_rank: int = 0
    local_rank: int = 0
    node_rank: int = 0
    device: str = "auto"
    collective_timeout_s: float = 300.0

    @classmethod
    def single(cls, device: str = "auto") -> "World":
        """Return the world of one worker, without a process group."""
        return cls(device=device)

    @property
    def is_rank_zero(self) -> bool:
        """Return whether this worker writes and records."""
        return self.world_rank == 0

    @property
    def torch_device(self) -> torch.device:
        """Return the device that this worker computes on."""
        if self.device != "auto":
            return torch.device(self.device)
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def own_parts(self, num_parts: int) -> range:
        """Return the contiguous range of parts that this worker owns, at least one."""
        return parts_by_worker(num_parts, self.world_size)[self.world_rank]


def parts_by_worker(num_parts: int, world_size: int) -> list[range]:
    """Return each worker's contiguous range of parts; the first ones own one more if need be.

    Args:
        num_parts: parts of a step, at least `world_size`.
        world_size: workers.
    """
    if world_size > num_parts:
        raise ValueError(f"{world_size} workers cannot share {num_parts} parts")
    bounds = [-(-worker * num_parts // world_size) for worker in range(world_size + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]


def shares(num_items: int, world_size: int) -> list[range]:
    """Return each worker's contiguous range of items; there may be fewer items than workers."""
    bounds = [worker * num_items // world_size for worker in range(world_size + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]
