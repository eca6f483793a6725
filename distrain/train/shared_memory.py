"""The exchange of partial sums between the workers of one machine, through memory they share.

Partial sums are made in the shared memory itself; two meetings of all workers per step surround
the addition of slices. On two CPU workers this costs about 30 us for 80,000 parameters, where a
process group over loopback costs 1,500 us and more.

    own partial sums written   | meeting |   own region of the total added up   | meeting |   read

With several machines their workers send each other messages between the two meetings.

The second meeting of a step comes after all reading of partial sums, and the first one of the next
step after all reading of the total, so nothing is written while it is read.

The memory is an anonymous file that the others open through /proc; it goes with the processes.
"""

import contextlib
import mmap
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from distrain.train.bells import Bells
from distrain.train.collective import barrier, gather_rows
from distrain.train.levels import add_up_each
from distrain.train.reduce import SumLayout
from distrain.train.world import World

CACHE_LINE_BYTES: Final = 64
WORD_BYTES: Final = 4
TOKEN_BYTES: Final = 8
TOKEN_BITS: Final = 52
# Workers that have cores of their own are nearly always this close together; who waits longer
# sleeps until it is woken, since whoever spins on a busy machine is given less of it.
SPIN_S: Final = 0.0001
LIVENESS_INTERVAL_S: Final = 0.5


@final
class NeighboursInMemory:
    """The exchange within one machine through shared memory; see `open`.

    Args:
        layout: who sums what.
        world: sizes and ranks.
        memory: `size_bytes(layout)` bytes that all workers of the machine see, zero at first.
    """

    def __init__(self, layout: SumLayout, world: World, memory: mmap.mmap) -> None:
        ranks = layout.machines[layout.own_machine]
        self._first_rank, self._number = ranks.start, layout.rank - ranks.start
        self._timeout_s = world.collective_timeout_s
        lines = _header(memory, len(ranks))
        # One cache line for each worker: meetings it has come to, and its process.
        self._arrivals, self._processes = lines[1:, 0], lines[1:, 1]
        self._bells = Bells(self._arrivals)
        nodes = _nodes(layout)
        vectors = torch.frombuffer(memory, dtype=torch.float32, offset=lines.nbytes)
        vectors = vectors.view(len(nodes) + 1, layout.length)
        first = nodes.index(layout.own_nodes[0])
        self.partials = vectors[first : first + len(layout.own_nodes)]
        self._total = vectors[-1]
        regions = layout.own_region.of(vectors)
        self._own_sums = dict(zip(nodes, regions[:-1], strict=True))
        self.own_total = regions[-1]
        self._machine_nodes = layout.machine_nodes(layout.own_machine)
        self._meeting = 0
        self._processes[self._number] = os.getpid()

    @classmethod
    def open(cls, layout: SumLayout, world: World) -> "NeighboursInMemory | None":
        """Return the exchange, or None on every worker of a machine that does not offer it.

        All workers of all machines must call.
        """
        ranks = layout.machines[layout.own_machine]
        size = size_bytes(layout)
        is_first = layout.rank == ranks.start
        token = secrets.randbits(TOKEN_BITS)
        descriptor = _create(size, token) if is_first and len(ranks) > 1 and _is_offered() else -1
        introduced = _everybodys([os.getpid(), descriptor, token], world)[ranks.start]
        process, number, token = (int(value) for value in introduced)
        memory = _attach(process, number, size, token) if number >= 0 else None
        attached = _everybodys([memory is not None], world)[ranks.start : ranks.stop]
        if descriptor >= 0:
            os.close(descriptor)
        exchange = cls(layout, world, memory) if memory is not None and np.all(attached) else None
        barrier(world)
        return exchange

    def add_up(self) -> dict[range, torch.Tensor]:
        """Return the sums of the machine's subtrees in this worker's region."""
        self._meet()
        return add_up_each(self._machine_nodes, self._own_sums, self.own_total)

    def spread(self) -> torch.Tensor:
        """Return the sum over all parts."""
        self._meet()
        return self._total

    def _meet(self) -> None:
        """Wait until all workers of the machine are here.

        Raises:
            torch.distributed.DistError: another worker is gone, or did not come in time.
        """
        self._meeting += 1
        self._arrivals[self._number] = self._meeting
        self._bells.ring(self._number)
        started = time.perf_counter()
        while not (self._arrivals >= self._meeting).all():
            waited_s = time.perf_counter() - started
            if waited_s > SPIN_S:
                self._sleep(waited_s)

    def _sleep(self, waited_s: float) -> None:
        """Sleep until a worker that is late has come, or has been late for a while."""
        arrivals = self._arrivals.copy()
        late = np.flatnonzero(arrivals < self._meeting)
        if len(late) and not self._bells.wait(late[0], arrivals[late[0]], LIVENESS_INTERVAL_S):
            self._check_others(waited_s)

    def _check_others(self, waited_s: float) -> None:
        late = np.flatnonzero(self._arrivals < self._meeting)
        for number in late:
            if not _is_alive(int(self._processes[number])):
                raise dist.DistError(f"the worker of rank {self._first_rank + number} is gone")
        if waited_s > self._timeout_s:
            raise dist.DistError(
                f"timed out waiting {waited_s:.0f} s for the workers of rank "
                f"{', '.join(map(str, late + self._first_rank))}"
            )


def size_bytes(layout: SumLayout) -> int:
    """Return the bytes of a machine's shared memory: the header, the partial sums, the total."""
    num_workers = len(layout.machines[layout.own_machine])
    vectors = (len(_nodes(layout)) + 1) * layout.length * 4
    return (1 + num_workers) * CACHE_LINE_BYTES + vectors


def _nodes(layout: SumLayout) -> list[range]:
    """Return the subtrees of the machine's workers, in order."""
    return [node for rank in layout.machines[layout.own_machine] for node in layout.nodes[rank]]


def _everybodys(values: Sequence[int], world: World) -> npt.NDArray[np.int64]:
    """Return every worker's values, `(workers, values)`."""
    own = np.array([values], dtype=np.int64)
    return gather_rows(own, [1] * world.world_size, world)


def _header(memory: mmap.mmap, num_workers: int) -> npt.NDArray[np.int32]:
    """Return the header's cache lines: one of rank zero's token, one for each worker."""
    num_words = (1 + num_workers) * CACHE_LINE_BYTES // WORD_BYTES
    return np.frombuffer(memory, dtype=np.int32, count=num_words).reshape(1 + num_workers, -1)


def _is_offered() -> bool:
    return Bells.are_offered() and hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()


def _create(size: int, token: int) -> int:
    """Return the descriptor of a new anonymous file, or -1 where there is no memory for it."""
    descriptor = os.memfd_create("distrain-sums")
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.close(descriptor)
        return -1
    os.pwrite(descriptor, token.to_bytes(TOKEN_BYTES, "little"), 0)
    return descriptor


def _attach(process: int, descriptor: int, size: int, token: int) -> mmap.mmap | None:
    """Return the memory behind rank zero's descriptor, or None where it cannot be reached."""
    with contextlib.suppress(OSError, ValueError):
        own = os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDWR)
        try:
            # In a container of its own, a process of that number is another one.
            if os.pread(own, TOKEN_BYTES, 0) == token.to_bytes(TOKEN_BYTES, "little"):
                return mmap.mmap(own, size)
        finally:
            os.close(own)
    return None


def _is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
