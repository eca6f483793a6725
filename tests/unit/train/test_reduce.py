"""The sum over parts: one tree, one result, on any number of workers."""

import itertools
import mmap
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.train.bells import Bells
from distrain.train.levels import LevelledExchange, Message, NeighboursByMessage, Swap
from distrain.train.reduce import NoExchange, SumLayout, TreeSum, split_point, subtrees
from distrain.train.shared_memory import NeighboursInMemory, size_bytes
from distrain.train.world import World, parts_by_worker

LENGTH = 37
TIMEOUT_S = 30.0
shared_memory = pytest.mark.skipif(not Bells.are_offered(), reason="Linux on x86-64 only")


def values(num_parts: int, length: int = LENGTH) -> torch.Tensor:
    """One vector per part, of very different sizes, so that another order gives other bits."""
    generator = torch.Generator().manual_seed(num_parts)
    sizes = 10.0 ** torch.arange(-3, num_parts - 3).remainder(7).unsqueeze(1)
    return torch.randn(num_parts, length, generator=generator) * sizes


def written_out(parts: torch.Tensor) -> torch.Tensor:
    """The definition: split at the largest power of two below the number of parts."""
    if len(parts) == 1:
        return parts[0]
    half = next(2**k for k in itertools.count() if 2 ** (k + 1) >= len(parts))
    return written_out(parts[:half]) + written_out(parts[half:])


def leaf_of(parts: torch.Tensor) -> Callable[[int, torch.Tensor, bool], None]:
    length = parts.shape[1]

    def leaf(index: int, out: torch.Tensor, add: bool) -> None:
        out[:length] = out[:length] + parts[index] if add else parts[index]

    return leaf


@dataclass(frozen=True)
class Cluster:
    """Workers on machines, a thread in each one's place; messages are counted by machine.

    Args:
        sizes: workers of each machine.
        in_memory: whether those of one machine share memory.
    """

    sizes: Sequence[int]
    in_memory: bool
    left_bytes: Counter[int] = field(default_factory=Counter)
    counting: threading.Lock = field(default_factory=threading.Lock)
    boxes: dict[tuple[int, int], "queue.Queue[torch.Tensor]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # All of them now: of two threads that found none each would make one, and miss the other's.
        pairs = itertools.permutations(range(sum(self.sizes)), 2)
        self.boxes.update((pair, queue.Queue()) for pair in pairs)

    @property
    def machines(self) -> list[range]:
        ends = itertools.accumulate(self.sizes)
        return [range(end - size, end) for size, end in zip(self.sizes, ends, strict=True)]

    def layouts(self, num_parts: int, length: int) -> list[SumLayout]:
        size = sum(self.sizes)
        return [
            SumLayout.of(num_parts, length, World(size, rank), self.machines)
            for rank in range(size)
        ]

    def sum(self, parts: torch.Tensor, rounds: int = 1) -> list[torch.Tensor]:
        """Return the total that each worker gets in each round."""
        layouts = self.layouts(*parts.shape)
        memories = [mmap.mmap(-1, size_bytes(layouts[ranks.start])) for ranks in self.machines]
        totals: list[torch.Tensor] = []

        def work(layout: SumLayout) -> None:
            swap = self._swap(layout)
            world = World(len(layouts), layout.rank, collective_timeout_s=TIMEOUT_S)
            neighbours = (
                NeighboursInMemory(layout, world, memories[layout.own_machine])
                if self.in_memory
                else NeighboursByMessage(layout, torch.device("cpu"), swap)
            )
            tree = TreeSum(layout, LevelledExchange(layout, neighbours, swap))
            for _ in range(rounds):
                totals.append(tree.total(leaf_of(parts))[: parts.shape[1]].clone())

        threads = [threading.Thread(target=work, args=(layout,)) for layout in layouts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return totals

    def _swap(self, layout: SumLayout) -> Swap:
        def swap(sent: Sequence[Message], expected: Sequence[Message]) -> None:
            for rank, elements in sent:
                assert elements.is_contiguous()
                if layout.machine_of(rank) != layout.own_machine:
                    with self.counting:
                        self.left_bytes[layout.own_machine] += elements.nbytes
                self.boxes[layout.rank, rank].put(elements.clone())
            for rank, target in expected:
                assert target.is_contiguous()
                target.copy_(self.boxes[rank, layout.rank].get(timeout=TIMEOUT_S))

        return swap


@given(st.integers(2, 5000))
def test_the_split_is_the_largest_power_of_two_below(count: int) -> None:
    point = split_point(count)
    assert point & (point - 1) == 0
    assert point < count <= 2 * point


@given(st.integers(1, 40), st.data())
def test_each_part_is_owned_once_and_every_worker_owns_one(
    num_parts: int, data: st.DataObject
) -> None:
    world_size = data.draw(st.integers(1, num_parts))
    owned = parts_by_worker(num_parts, world_size)
    assert [part for own in owned for part in own] == list(range(num_parts))
    sizes = [len(own) for own in owned]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


@given(st.integers(1, 40), st.data())
def test_a_range_of_parts_is_cut_into_few_subtrees(num_parts: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, num_parts - 1))
    own = range(start, data.draw(st.integers(start + 1, num_parts)))
    nodes = subtrees(own, num_parts)
    assert [part for node in nodes for part in node] == list(own)
    assert len(nodes) <= 2 * max(1, num_parts.bit_length())


def test_one_worker_owns_the_whole_tree() -> None:
    assert subtrees(range(7), 7) == [range(7)]


@given(st.integers(1, 20))
def test_one_worker_sums_in_the_order_of_the_tree(num_parts: int) -> None:
    layout = SumLayout.of(num_parts, LENGTH, World.single("cpu"))
    tree = TreeSum(layout, NoExchange(layout, torch.device("cpu")))
    parts = values(num_parts)
    assert torch.equal(tree.total(leaf_of(parts))[:LENGTH], written_out(parts))


@st.composite
def clusters(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Return a number of parts, and the workers of each of some machines, at least two in all."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda s: sum(s) > 1))
    return draw(st.integers(sum(sizes), 20)), sizes


@settings(max_examples=40, deadline=None)
@given(clusters(), st.integers(1, 300))
def test_any_workers_on_any_machines_get_the_same_bits(
    cluster: tuple[int, list[int]], length: int
) -> None:
    num_parts, sizes = cluster
    parts = values(num_parts, length)
    totals = Cluster(sizes, in_memory=False).sum(parts, rounds=2)
    assert len(totals) == 2 * sum(sizes)
    assert all(torch.equal(total, written_out(parts)) for total in totals)


@shared_memory
@settings(max_examples=25, deadline=None)
@given(clusters())
def test_workers_with_shared_memory_get_the_same_bits(cluster: tuple[int, list[int]]) -> None:
    num_parts, sizes = cluster
    parts = values(num_parts)
    totals = Cluster(sizes, in_memory=True).sum(parts, rounds=3)
    assert len(totals) == 3 * sum(sizes)
    assert all(torch.equal(total, written_out(parts)) for total in totals)


def test_as_many_bytes_leave_each_of_four_machines_of_eight_as_with_a_ring() -> None:
    cluster = Cluster([8] * 4, in_memory=False)
    parts = values(32, 10_000)
    length = cluster.layouts(*parts.shape)[0].length
    totals = cluster.sum(parts)
    assert all(torch.equal(total, written_out(parts)) for total in totals)
    assert length < 1.1 * 10_000
    assert cluster.left_bytes == dict.fromkeys(range(4), 4 * 2 * length * 3 // 4)


@pytest.mark.parametrize("sizes", [[3, 5, 8], [1, 1, 14], [2, 4], [7, 8]])
def test_what_leaves_unequal_machines_goes_by_their_subtrees(sizes: list[int]) -> None:
    cluster = Cluster(sizes, in_memory=False)
    layout = cluster.layouts(sum(sizes), 10_000)[0]
    cluster.sum(values(sum(sizes), 10_000))
    others = len(sizes) - 1
    for machine, left in cluster.left_bytes.items():
        num_subtrees = len(layout.machine_nodes(machine))
        assert left == 4 * (num_subtrees + 1) * layout.length * others // len(sizes)


@given(clusters(), st.integers(1, 10_000))
def test_regions_of_a_machine_are_the_vector_cut_without_gap_or_overlap(
    cluster: tuple[int, list[int]], length: int
) -> None:
    num_parts, sizes = cluster
    machines = Cluster(sizes, in_memory=False).machines
    layout = SumLayout.of(num_parts, length, World(sum(sizes), 0), machines)
    for ranks in machines:
        times = torch.zeros(layout.length)
        for rank in ranks:
            layout.region(rank).of(times).add_(1)
        assert torch.equal(times, torch.ones(layout.length))


def test_another_order_would_show() -> None:
    parts = values(8)
    assert not torch.equal(written_out(parts), written_out(parts.roll(1, dims=0)))


@shared_memory
def test_a_worker_that_is_gone_is_noticed() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    world = World(2, 0)
    layout = SumLayout.of(2, LENGTH, world)
    exchange = NeighboursInMemory(layout, world, mmap.mmap(-1, size_bytes(layout)))
    exchange._processes[1] = gone.pid
    with pytest.raises(dist.DistError, match="the worker of rank 1 is gone"):
        exchange.add_up()


@shared_memory
def test_a_worker_that_does_not_come_is_given_up() -> None:
    world = World(2, 0, collective_timeout_s=0.1)
    layout = SumLayout.of(2, LENGTH, world)
    exchange = NeighboursInMemory(layout, world, mmap.mmap(-1, size_bytes(layout)))
    exchange._processes[1] = exchange._processes[0]
    with pytest.raises(dist.DistError, match="timed out waiting 1 s for the workers of rank 1"):
        exchange.add_up()


def test_more_workers_than_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="5 workers cannot share 4 parts"):
        parts_by_worker(4, 5)
