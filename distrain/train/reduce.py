r"""The sum of one vector per part, with the same bits on any number of workers.

The parts are the leaves of a binary tree whose shape depends on their number alone: a node of n
parts splits at the largest power of two below n. A worker owns a contiguous range of parts and
sums the complete subtrees within it; these partial sums are exchanged by slices, each worker adds
its slice in the tree's order, and the slices are gathered again. Adding two floats is commutative,
so who adds is of no consequence.

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
from typing import Final, final

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


@final
class TreeSum:
    """Sums vectors over parts and workers.

    Args:
        num_parts: leaves of the tree; at least as many as workers.
        length: elements of a vector.
        world: sizes and ranks; with several workers, all of them must call `total` alike.
    """

    def __init__(self, num_parts: int, length: int, world: World) -> None:
        owned = parts_by_worker(num_parts, world.world_size)
        self._nodes = [subtrees(own, num_parts) for own in owned]
        self._own_nodes = self._nodes[world.world_rank]
        self._num_parts = num_parts
        self._world_size = world.world_size
        block = ALIGNMENT * world.world_size
        self._length = -(-length // block) * block
        depth = max(len(node) for node in self._own_nodes).bit_length()
        device = world.torch_device
        self._partials = torch.zeros(len(self._own_nodes), self._length, device=device)
        self._scratch = [torch.zeros(self._length, device=device) for _ in range(depth - 1)]
        self.exchange_s = 0.0

    def total(self, leaf: Leaf) -> torch.Tensor:
        """Return the sum over all parts, `(at least length,)`; it is overwritten by the next call.

        Args:
            leaf: gets a part this worker owns, a vector, and whether to add the part's values to
                the vector or to overwrite it with them. Parts come in order.
        """
        for node, partial in zip(self._own_nodes, self._partials, strict=True):
            self._sum_node(node, partial, leaf, 0)
        if self._world_size == 1:
            return self._partials[0]
        started = time.perf_counter()
        total = self._exchange()
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

    def _exchange(self) -> torch.Tensor:
        if self._world_size == 2 and all(len(nodes) == 1 for nodes in self._nodes):
            # One addition of two operands: any all-reduce gives its bits.
            dist.all_reduce(self._partials[0])
            return self._partials[0]
        counts = [len(nodes) for nodes in self._nodes]
        own = len(self._own_nodes)
        # (nodes, workers, slice) -> (workers, nodes, slice): to each worker its slice of each node.
        sent = self._partials.view(own, self._world_size, -1).transpose(0, 1).contiguous()
        sent = sent.view(own * self._world_size, -1)
        received = torch.empty(sum(counts), sent.shape[1], device=sent.device)
        dist.all_to_all_single(received, sent, counts, [own] * self._world_size)
        order = [node for nodes in self._nodes for node in nodes]
        by_node = dict(zip(order, received, strict=True))
        total = torch.empty(self._length, device=sent.device)
        slices = list(total.view(self._world_size, -1))
        dist.all_gather(slices, _add_up(range(self._num_parts), by_node))
        return total


def _add_up(node: range, by_node: dict[range, torch.Tensor]) -> torch.Tensor:
    """Return the sum of a node from the sums of the subtrees below it; they are overwritten."""
    if node in by_node:
        return by_node[node]
    middle = node.start + split_point(len(node))
    left = _add_up(range(node.start, middle), by_node)
    return left.add_(_add_up(range(middle, node.stop), by_node))
