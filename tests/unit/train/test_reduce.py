"""The sum over parts: one tree, one result, on any number of workers."""

import itertools
import mmap
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.train.bells import Bells
from distrain.train.reduce import NoExchange, SumLayout, TreeSum, split_point, subtrees
from distrain.train.shared_memory import SharedMemoryExchange, size_bytes
from distrain.train.world import World, parts_by_worker

LENGTH = 37
shared_memory = pytest.mark.skipif(not Bells.are_offered(), reason="Linux on x86-64 only")


def values(num_parts: int) -> torch.Tensor:
    """One vector per part, of very different sizes, so that another order gives other bits."""
    generator = torch.Generator().manual_seed(num_parts)
    sizes = 10.0 ** torch.arange(-3, num_parts - 3).remainder(7).unsqueeze(1)
    return torch.randn(num_parts, LENGTH, generator=generator) * sizes


def written_out(parts: torch.Tensor) -> torch.Tensor:
    """The definition: split at the largest power of two below the number of parts."""
    if len(parts) == 1:
        return parts[0]
    half = next(2**k for k in itertools.count() if 2 ** (k + 1) >= len(parts))
    return written_out(parts[:half]) + written_out(parts[half:])


def leaf_of(parts: torch.Tensor) -> Callable[[int, torch.Tensor, bool], None]:
    def leaf(index: int, out: torch.Tensor, add: bool) -> None:
        out[:LENGTH] = out[:LENGTH] + parts[index] if add else parts[index]

    return leaf


def summed_in_threads(num_parts: int, world_size: int, rounds: int = 3) -> list[torch.Tensor]:
    """Sum over shared memory with a thread in each worker's place; all rounds, all workers."""
    worlds = [World(world_size, rank, collective_timeout_s=20) for rank in range(world_size)]
    memory = mmap.mmap(-1, size_bytes(SumLayout.of(num_parts, LENGTH, worlds[0])))
    parts = values(num_parts)
    totals: list[torch.Tensor] = []

    def work(world: World) -> None:
        layout = SumLayout.of(num_parts, LENGTH, world)
        tree = TreeSum(layout, SharedMemoryExchange(layout, world, memory))
        for _ in range(rounds):
            totals.append(tree.total(leaf_of(parts))[:LENGTH].clone())

    threads = [threading.Thread(target=work, args=(world,)) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return totals


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


@shared_memory
@settings(max_examples=25, deadline=None)
@given(st.integers(2, 13), st.data())
def test_workers_with_shared_memory_get_the_same_bits(num_parts: int, data: st.DataObject) -> None:
    world_size = data.draw(st.integers(2, min(5, num_parts)))
    expected = written_out(values(num_parts))
    totals = summed_in_threads(num_parts, world_size)
    assert len(totals) == 3 * world_size
    assert all(torch.equal(total, expected) for total in totals)


def test_another_order_would_show() -> None:
    parts = values(8)
    assert not torch.equal(written_out(parts), written_out(parts.roll(1, dims=0)))


@shared_memory
def test_a_worker_that_is_gone_is_noticed() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    world = World(2, 0)
    layout = SumLayout.of(2, LENGTH, world)
    exchange = SharedMemoryExchange(layout, world, mmap.mmap(-1, size_bytes(layout)))
    exchange._processes[1] = gone.pid
    with pytest.raises(dist.DistError, match="the worker of rank 1 is gone"):
        exchange.total()


@shared_memory
def test_a_worker_that_does_not_come_is_given_up() -> None:
    world = World(2, 0, collective_timeout_s=0.1)
    layout = SumLayout.of(2, LENGTH, world)
    exchange = SharedMemoryExchange(layout, world, mmap.mmap(-1, size_bytes(layout)))
    exchange._processes[1] = exchange._processes[0]
    with pytest.raises(dist.DistError, match="timed out waiting 1 s for the workers of rank 1"):
        exchange.total()


def test_more_workers_than_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="5 workers cannot share 4 parts"):
        parts_by_worker(4, 5)
