"""The exchange of partial sums level by level: within each machine, then between machines.

Workers of one machine own neighbouring parts, so a machine's parts are a few complete subtrees.
Only the sums of these leave it, and each element of a sum comes back once: for a vector of n bytes,
m machines and s subtrees of one of them, (s + 1) x n x (m - 1) / m bytes leave that one, which is
a ring's traffic where s = 1. The order of additions is that of the one tree over all parts.

    partial sums of each worker            (its subtrees, length)
      |  within the machine: each worker adds up its region
    partial sums of the machine            (its subtrees, machines, share)
      |  between machines: each worker adds up its share of its own machine's chunks
    sum over all parts                     (share,)
      |  back to the workers of other machines that have the same share
    sum over all parts                     (machines, share)
      |  back to all workers of the machine
    sum over all parts                     (length,)

Messages go from worker to worker instead of through collective calls: what is sent where depends
on how many workers each machine has, and these numbers need not be equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
import torch.distributed as dist

from distrain.train.reduce import Region, SumLayout, add_up

# A worker's rank, and the contiguous elements that go to it or come from it.
Message = tuple[int, torch.Tensor]
# Sends messages and waits for others, at most one of each for every other worker.
Swap = Callable[[Sequence[Message], Sequence[Message]], None]
Sums = dict[range, torch.Tensor]


class Neighbours(Protocol):
    """The exchange within one machine.

    Call order, again and again: fill `partials`, `add_up`, fill `own_total`, `spread`; all workers
    alike.
    """

    partials: torch.Tensor
    """This worker's partial sums, one row for each of its subtrees, `(subtrees, length)`."""
    own_total: torch.Tensor
    """Where the sum over all parts is put, in this worker's region, `(machines, share)`."""

    def add_up(self) -> Sums:
        """Return the sums of the machine's subtrees in this worker's region.

        With a single machine its one subtree is the whole tree, and its sum is in `own_total`.
        """

    def spread(self) -> torch.Tensor:
        """Return the sum over all parts, `(length,)`, from all workers' `own_total`."""


@final
class LevelledExchange:
    """The exchange between any two or more workers on any machines.

    Args:
        layout: who sums what.
        neighbours: the exchange within this worker's machine.
        swap: how messages reach workers of other machines.
    """

    def __init__(self, layout: SumLayout, neighbours: Neighbours, swap: Swap) -> None:
        self.partials = neighbours.partials
        self._neighbours = neighbours
        self._swap = swap
        self._root = range(layout.num_parts)
        self._own_machine = layout.own_machine
        self._peers = _peers(layout, neighbours.partials.device)

    def total(self) -> torch.Tensor:
        """Return the sum over all parts; all workers must call."""
        sums = self._neighbours.add_up()
        if self._peers:
            self._add_up_machines(sums)
        return self._neighbours.spread()

    def _add_up_machines(self, sums: Sums) -> None:
        own_total, own = self._neighbours.own_total, self._own_machine
        self._swap(
            [
                (peer.rank, _rows([row[peer.machine, peer.shared] for row in sums.values()]))
                for peer in self._peers
            ],
            [(peer.rank, peer.sums) for peer in self._peers],
        )
        by_node = {node: row[own] for node, row in sums.items()} | _joined(self._peers)
        add_up(self._root, by_node, own_total[own])
        self._swap(
            [(peer.rank, own_total[own, peer.shared]) for peer in self._peers],
            [(peer.rank, own_total[peer.machine, peer.shared]) for peer in self._peers],
        )


@final
@dataclass(frozen=True)
class _Peer:
    """A worker of another machine whose region meets this worker's.

    Attributes:
        rank: its rank.
        machine: its machine.
        nodes: its machine's subtrees.
        shared: the elements that both have, within this worker's share of a chunk.
        sums: where its machine's sums of this worker's chunk arrive, `(subtrees, shared)`.
    """

    rank: int
    machine: int
    nodes: list[range]
    shared: slice
    sums: torch.Tensor


def _peers(layout: SumLayout, device: torch.device) -> list[_Peer]:
    own, peers = layout.own_region, []
    for machine, ranks in enumerate(layout.machines):
        if machine == layout.own_machine:
            continue
        nodes = layout.machine_nodes(machine)
        for rank in ranks:
            other = layout.region(rank)
            start, stop = max(own.start, other.start), min(own.stop, other.stop)
            if other.block == own.block and start < stop:
                sums = torch.empty(len(nodes), stop - start, device=device)
                shared = slice(start - own.start, stop - own.start)
                peers.append(_Peer(rank, machine, nodes, shared, sums))
    return peers


def _rows(rows: list[torch.Tensor]) -> torch.Tensor:
    return rows[0] if len(rows) == 1 else torch.stack(rows)


def _joined(peers: Sequence[_Peer]) -> Sums:
    """Return the sums that arrived from other machines, each put together from its pieces."""
    pieces: dict[int, list[_Peer]] = {}
    for peer in peers:
        pieces.setdefault(peer.machine, []).append(peer)
    joined: Sums = {}
    for found in pieces.values():
        sums = found[0].sums if len(found) == 1 else torch.cat([one.sums for one in found], dim=1)
        joined |= dict(zip(found[0].nodes, sums, strict=True))
    return joined


@final
class NeighboursByMessage:
    """The exchange within one machine by messages, where its workers do not share memory.

    Args:
        layout: who sums what.
        device: where the vectors are.
        swap: how messages reach the other workers.
    """

    def __init__(self, layout: SumLayout, device: torch.device, swap: Swap) -> None:
        self._swap = swap
        self._nodes = layout.machine_nodes(layout.own_machine)
        self._own_nodes = layout.own_nodes
        self._region = layout.own_region
        self.partials = torch.zeros(len(self._own_nodes), layout.length, device=device)
        self._total = torch.empty(layout.length, device=device)
        self.own_total = self._region.of(self._total)
        self._others = [
            _neighbour(layout, rank, self.own_total, self._total)
            for rank in layout.machines[layout.own_machine]
            if rank != layout.rank
        ]

    def add_up(self) -> Sums:
        """Return the sums of the machine's subtrees in this worker's region."""
        others = self._others
        self._swap(
            [(other.rank, other.region.of(self.partials).contiguous()) for other in others],
            [(other.rank, other.sums) for other in others],
        )
        by_node = dict(zip(self._own_nodes, self._region.of(self.partials), strict=True))
        for other in others:
            by_node |= dict(zip(other.nodes, other.sums, strict=True))
        return add_up_each(self._nodes, by_node, self.own_total)

    def spread(self) -> torch.Tensor:
        """Return the sum over all parts."""
        others, own_total = self._others, self.own_total.contiguous()
        self._swap(
            [(other.rank, own_total) for other in others],
            [(other.rank, other.arriving) for other in others],
        )
        for other in others:
            if other.arriving is not other.total:
                other.total.copy_(other.arriving)
        return self._total


@final
@dataclass(frozen=True)
class _Neighbour:
    """Another worker of this machine.

    Attributes:
        rank: its rank.
        nodes: its subtrees.
        region: the elements that it adds up.
        sums: where its partial sums of this worker's region arrive, `(subtrees, machines, share)`.
        total: where the sum over all parts belongs in its region, `(machines, share)`.
        arriving: where that arrives: the same memory if messages can go there.
    """

    rank: int
    nodes: tuple[range, ...]
    region: Region
    sums: torch.Tensor
    total: torch.Tensor
    arriving: torch.Tensor


def _neighbour(
    layout: SumLayout, rank: int, own_total: torch.Tensor, total: torch.Tensor
) -> _Neighbour:
    nodes, region = layout.nodes[rank], layout.region(rank)
    theirs = region.of(total)
    return _Neighbour(
        rank=rank,
        nodes=nodes,
        region=region,
        sums=torch.empty(len(nodes), *own_total.shape, device=total.device),
        total=theirs,
        arriving=theirs if theirs.is_contiguous() else torch.empty_like(theirs).contiguous(),
    )


def add_up_each(nodes: Sequence[range], by_node: Sums, own_total: torch.Tensor) -> Sums:
    """Return the sums of a machine's subtrees; what is below them is overwritten.

    Args:
        nodes: the subtrees that the machine's workers own together.
        by_node: the sums of those that each worker owns, of any one shape.
        own_total: where the sum is put if there is one subtree to add up.
    """
    out = own_total if len(nodes) == 1 else None
    return {node: add_up(node, by_node, out) for node in nodes}


def swap_over_group(sent: Sequence[Message], expected: Sequence[Message]) -> None:
    """Send and receive messages through the process group; returns when all have come and gone.

    Messages of a pair of workers are matched by their order. gloo sends from a CPU's memory alone.

    Args:
        sent: at most one to each other worker; contiguous.
        expected: at most one from each other worker; the elements are put there.
    """
    if not sent and not expected:
        return
    over_cpu = dist.get_backend() == "gloo"
    arriving = [target.to("cpu") if over_cpu else target for _, target in expected]
    leaving = [values.to("cpu") if over_cpu else values for _, values in sent]
    operations = [
        dist.P2POp(dist.irecv, values, rank)
        for (rank, _), values in zip(expected, arriving, strict=True)
    ] + [
        dist.P2POp(dist.isend, values, rank)
        for (rank, _), values in zip(sent, leaving, strict=True)
    ]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    for (_, target), values in zip(expected, arriving, strict=True):
        if values is not target:
            target.copy_(values)
