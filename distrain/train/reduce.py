r"""The sum of one vector per part, with the same bits on any number of workers.

The parts are the leaves of a binary tree whose shape depends on their number alone: a node of n
parts splits at the largest power of two below n. A worker owns a contiguous range of parts and
sums the complete subtrees within it; these partial sums are exchanged by slices, each worker adds
its slice in the tree's order, and the slices are put together again. Adding two floats is
commutative, so who adds is of no consequence.

    parts        0   1   2   3   4   5          6 parts, 3 workers
    workers     [0   0] [1   1] [2   2]
                 \ /     \ /     \ /
    partial      0-1     2-3     4-5            summed where they are owned
                   \     /        |
                    0-3          |              summed slice by slice
                        \       /
                           0-5
"""

import time
from collections.abc import Callable
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


@final
@dataclass(frozen=True)
class SumLayout:
    """Who sums which subtrees, and how long the vectors are.

    Attributes:
        num_parts: leaves of the tree.
        length: elements of a vector, a multiple of the number of workers.
        nodes: each worker's subtrees, in order.
        rank: this worker's.
    """

    num_parts: int
    length: int
    nodes: tuple[tuple[range, ...], ...]
    rank: int

    @classmethod
    def of(cls, num_parts: int, length: int, world: World) -> "SumLayout":
        """Return the layout for vectors of at least `length` elements."""
        owned = parts_by_worker(num_parts, world.world_size)
        block = ALIGNMENT * world.world_size
        nodes = tuple(tuple(subtrees(own, num_parts)) for own in owned)
        return cls(num_parts, -(-length // block) * block, nodes, world.world_rank)

    @property
    def own_nodes(self) -> tuple[range, ...]:
        """Return this worker's subtrees."""
        return self.nodes[self.rank]

    @property
    def all_nodes(self) -> list[range]:
        """Return the subtrees of all workers, in order."""
        return [node for nodes in self.nodes for node in nodes]


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
class GroupExchange:
    """The exchange through the process group.

    Args:
        layout: who sums what.
        device: where the vectors are.
    """

    def __init__(self, layout: SumLayout, device: torch.device) -> None:
        self._layout = layout
        self._num_workers = len(layout.nodes)
        self.partials = torch.zeros(len(layout.own_nodes), layout.length, device=device)
        self._total = torch.empty(layout.length, device=device)

    def total(self) -> torch.Tensor:
        """Return the sum over all parts; all workers must call."""
        if [len(nodes) for nodes in self._layout.nodes] == [1, 1]:
            # One addition of two operands: any all-reduce gives its bits.
            dist.all_reduce(self.partials[0])
            return self.partials[0]
        counts = [len(nodes) for nodes in self._layout.nodes]
        own = len(self._layout.own_nodes)
        # (nodes, workers, slice) -> (workers, nodes, slice): to each worker its slice of each node.
        sent = self.partials.view(own, self._num_workers, -1).transpose(0, 1).contiguous()
        sent = sent.view(own * self._num_workers, -1)
        received = torch.empty(sum(counts), sent.shape[1], device=sent.device)
        dist.all_to_all_single(received, sent, counts, [own] * self._num_workers)
        by_node = dict(zip(self._layout.all_nodes, received, strict=True))
        own_slice = add_up(range(self._layout.num_parts), by_node)
        dist.all_gather(list(self._total.view(self._num_workers, -1)), own_slice)
        return self._total


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
        depth = max(len(node) for node in self._nodes).bit_length()
        self._scratch = [torch.zeros_like(exchange.partials[0]) for _ in range(depth - 1)]
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
