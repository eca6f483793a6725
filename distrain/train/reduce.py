r"""The sum of one vector per part, with the same bits on any number of workers.

The parts are the leaves of a binary tree whose shape depends on their number alone: a node of n
parts splits at the largest power of two below n. A worker owns a contiguous range of parts and
sums the complete subtrees within it; these partial sums are exchanged by slices, each worker adds
its slice in the tree's order, and the slices are put together again. Adding two floats is
commutative, so who adds is of no consequence. With several machines this is done twice, within
each and then between them: see `levels.py`.

    parts        0   1   2   3   4   5          6 parts, 3 workers
    workers     [0   0] [1   1] [2   2]
                 \ /     \ /     \ /
    partial      0-1     2-3     4-5            summed where they are owned
                   \     /        |
                    0-3          |              summed slice by slice
                        \       /
                           0-5
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, final

import torch
import torch.distributed as dist

from distrain.train.world import World, parts_by_worker

# Slices begin at multiples of 64 bytes, as torch's own allocations do.
ALIGNMENT: Final = 16

Leaf = Callable[[int, torch.Tensor, bool], None]


def split_point(count: int) -> int:
    """Return the largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def subtrees(own: range, num_parts: int) -> list[range]:
    """Return the largest complete subtrees within a contiguous range of parts, in order.

    Args:
        own: the parts of one worker.
        num_parts: all parts: the leaves of the tree.
    """
    return _subtrees(own, range(num_parts))


def _subtrees(own: range, node: range) -> list[range]:
    if own.stop <= node.start or node.stop <= own.start:
        return []
    if own.start <= node.start and node.stop <= own.stop:
        return [node]
    middle = node.start + split_point(len(node))
    left, right = range(node.start, middle), range(middle, node.stop)
    return _subtrees(own, left) + _subtrees(own, right)


def add_up(
    node: range, by_node: dict[range, torch.Tensor], out: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the sum of a node from those of the subtrees below it, which are overwritten.

    Args:
        node: parts to sum.
        by_node: sums of the subtrees that the workers own.
        out: where the sum is put; None: where one of its terms was.
    """
    if node in by_node:
        return by_node[node]
    middle = node.start + split_point(len(node))
    left = add_up(range(node.start, middle), by_node)
    right = add_up(range(middle, node.stop), by_node)
    return torch.add(left, right, out=left if out is None else out)


def num_right_halves(nodes: Sequence[range]) -> int:
    """Return how many sums are kept at a time beside those of some subtrees, summed one by one.

    One for each level of the largest subtree where a right half has several parts: a little less
    than the binary logarithm of its parts.
    """
    return max(0, max(map(len, nodes)).bit_length() - 2)


@final
@dataclass(frozen=True)
class Region:
    """The elements of a vector that one worker adds up for its machine.

    A vector is cut into blocks, each of them into one chunk for each machine; a region is a share
    of every chunk of one block.

    Attributes:
        shape: blocks, chunks of a block, elements of a chunk.
        block: which block.
        start: where the share begins in each chunk.
        stop: where it ends.
    """

    shape: tuple[int, int, int]
    block: int
    start: int
    stop: int

    def of(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the view of the region: `(..., length)` becomes `(..., machines, share)`."""
        blocks = vectors.view(*vectors.shape[:-1], *self.shape)
        return blocks[..., self.block, :, self.start : self.stop]


@final
@dataclass(frozen=True)
class SumLayout:
    """Who sums which subtrees, and which elements.

    Workers of one machine have neighbouring ranks, so a machine too owns a contiguous range of
    parts. There are as many blocks as divide every machine's number of workers; where all machines
    have equally many, each worker of a machine has a block to itself.

    Attributes:
        num_parts: leaves of the tree.
        length: elements of a vector, filled up so that it can be cut.
        nodes: each worker's subtrees, in order.
        machines: each machine's ranks.
        rank: this worker's.
    """

    num_parts: int
    length: int
    nodes: tuple[tuple[range, ...], ...]
    machines: tuple[range, ...]
    rank: int

    @classmethod
    def of(
        cls, num_parts: int, length: int, world: World, machines: Sequence[range] = ()
    ) -> "SumLayout":
        """Return the layout for vectors of at least `length` elements.

        Args:
            num_parts: leaves of the tree; at least as many as workers.
            length: elements of a vector.
            world: sizes and ranks.
            machines: each machine's ranks, in order; none: all are on one.
        """
        owned = parts_by_worker(num_parts, world.world_size)
        nodes = tuple(tuple(subtrees(own, num_parts)) for own in owned)
        machines = tuple(machines) or (range(world.world_size),)
        num_blocks = _num_blocks(machines)
        most_sharers = max(map(len, machines)) // num_blocks
        unit = ALIGNMENT * most_sharers * len(machines) * num_blocks
        return cls(num_parts, -(-length // unit) * unit, nodes, machines, world.world_rank)

    @property
    def own_nodes(self) -> tuple[range, ...]:
        """Return this worker's subtrees."""
        return self.nodes[self.rank]

    @property
    def own_machine(self) -> int:
        """Return the number of this worker's machine."""
        return self.machine_of(self.rank)

    @property
    def own_region(self) -> Region:
        """Return the elements that this worker adds up for its machine."""
        return self.region(self.rank)

    def machine_of(self, rank: int) -> int:
        """Return the number of a worker's machine."""
        return next(number for number, ranks in enumerate(self.machines) if rank in ranks)

    def machine_nodes(self, machine: int) -> list[range]:
        """Return the subtrees that a machine's workers own together, in order."""
        ranks = self.machines[machine]
        own = range(self.nodes[ranks[0]][0].start, self.nodes[ranks[-1]][-1].stop)
        return subtrees(own, self.num_parts)

    def region(self, rank: int) -> Region:
        """Return the elements that a worker adds up for its machine."""
        num_blocks = _num_blocks(self.machines)
        chunk = self.length // (num_blocks * len(self.machines))
        ranks = self.machines[self.machine_of(rank)]
        num_sharers = len(ranks) // num_blocks
        block, share = divmod(rank - ranks.start, num_sharers)
        start, stop = (
            number * (chunk // ALIGNMENT) // num_sharers * ALIGNMENT
            for number in (share, share + 1)
        )
        return Region((num_blocks, len(self.machines), chunk), block, start, stop)


def _num_blocks(machines: Sequence[range]) -> int:
    return math.gcd(*map(len, machines))


class Exchange(Protocol):
    """How partial sums become one sum on every worker.

    Call order, again and again: fill `partials`, then `total`; all workers alike.
    """

    partials: torch.Tensor
    """This worker's partial sums, one row for each of its subtrees, `(subtrees, length)`."""

    def total(self) -> torch.Tensor:
        """Return the sum over all parts, `(length,)`; to be read only, until the next call."""


@final
class NoExchange:
    """The exchange of a single worker, whose one partial sum is the sum.

    Args:
        layout: who sums what.
        device: where the vectors are.
    """

    def __init__(self, layout: SumLayout, device: torch.device) -> None:
        self.partials = torch.zeros(1, layout.length, device=device)

    def total(self) -> torch.Tensor:
        """Return the sum over all parts."""
        return self.partials[0]


@final
class AllReduceExchange:
    """The exchange by the process group's own sum, in an order of its own.

    The bits are those of the tree where one addition is all there is: two workers, each with one
    subtree. With more workers they are what `reduction: fast` promises: none in particular.

    Args:
        layout: who sums what; each worker owns one subtree.
        device: where the vectors are.
    """

    def __init__(self, layout: SumLayout, device: torch.device) -> None:
        self.partials = torch.zeros(1, layout.length, device=device)

    def total(self) -> torch.Tensor:
        """Return the sum over all parts; all workers must call."""
        dist.all_reduce(self.partials[0])
        return self.partials[0]


@final
class TreeSum:
    """Sums vectors over parts and workers.

    Args:
        layout: who sums what.
        exchange: how workers exchange partial sums.
    """

    def __init__(self, layout: SumLayout, exchange: Exchange) -> None:
        self._nodes = layout.own_nodes
        self._exchange = exchange
        self._scratch = [
            torch.zeros_like(exchange.partials[0]) for _ in range(num_right_halves(self._nodes))
        ]
        self.exchange_s = 0.0

    def total(self, leaf: Leaf) -> torch.Tensor:
        """Return the sum over all parts, to be read only, until the next call.

        All workers must call.

        Args:
            leaf: gets a part this worker owns, a vector, and whether to add the part's values to
                the vector or to overwrite it with them. Parts come in order.
        """
        for node, partial in zip(self._nodes, self._exchange.partials, strict=True):
            self._sum_node(node, partial, leaf, 0)
        started = time.perf_counter()
        total = self._exchange.total()
        self.exchange_s += time.perf_counter() - started
        return total

    def _sum_node(self, node: range, out: torch.Tensor, leaf: Leaf, depth: int) -> None:
        if len(node) == 1:
            leaf(node.start, out, False)
            return
        middle = node.start + split_point(len(node))
        self._sum_node(range(node.start, middle), out, leaf, depth)
        if node.stop - middle == 1:
            leaf(middle, out, True)
            return
        scratch = self._scratch[depth]
        self._sum_node(range(middle, node.stop), scratch, leaf, depth + 1)
        out.add_(scratch)
