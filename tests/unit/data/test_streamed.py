"""Rows of a training split that is streamed, as a loader takes them."""

import itertools
import threading
from collections.abc import Iterator
from typing import final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.data.blocks import Blocks
from distrain.data.loader import Loader, StepBatch
from distrain.data.mapped import Split
from distrain.data.plan import Plan, WindowId, windows_between
from distrain.data.shards import Array, Column, Shard, shard_in_memory
from distrain.data.streamed import Delivery, Feed, StreamedShards
from distrain.data.worker_parts import WorkerParts
from distrain.errors import DataError
from distrain.train.world import parts_by_worker

SEED = 3
COLUMNS = {"x": Column("float32", (2,)), "y": Column("int64", ())}


def row_values(rows: Array) -> Array:
    return np.stack([rows, -rows], axis=1).astype(np.float32)


@final
class FakeFeed(Feed):
    """Makes shards of known rows, one for each block; counts and fails as it is told."""

    def __init__(self, blocks: Blocks, fails_at: WindowId | None = None) -> None:
        self.blocks = blocks
        self.delivered: list[WindowId] = []
        self.has_ended = threading.Event()
        self._fails_at = fails_at

    def windows(self, first: WindowId, last: WindowId) -> Iterator[Delivery]:
        for window, numbers in windows_between(self.blocks, SEED, first, last):
            if window == self._fails_at:
                raise DataError("the source has changed", where="a.csv")
            self.delivered.append(window)
            yield Delivery(window, {f"{n}": shard_in_memory(*self._shard(n))[1] for n in numbers})

    def end(self) -> None:
        self.has_ended.set()

    def split(self) -> Split:
        shards = [
            Shard(f"{number}", num_rows, "", 0)
            for number, num_rows in enumerate(self.blocks.num_rows)
        ]
        return Split(StreamedShards(self), shards, COLUMNS)

    def _shard(self, number: int) -> tuple[str, dict[str, Array]]:
        rows = np.arange(self.blocks.starts[number], self.blocks.starts[number + 1])
        return f"{number}", {"x": row_values(rows), "y": rows}


def plan_of(blocks: Blocks, batch: int = 16, logical_shards: int = 4) -> Plan:
    return Plan(int(blocks.starts[-1]), batch, logical_shards, 1, SEED, blocks)


def delivered(feed: Feed, split: Split, plan: Plan, own: range, ends: tuple[int, int]) -> list[int]:
    """Return the rows of some steps' parts, whose content was compared."""
    rows: list[int] = []
    with Loader(split, WorkerParts(plan, own)).batches(*ends) as batches:
        for batch in batches:
            rows += compared(batch)
    return rows


def compared(batch: StepBatch) -> list[int]:
    for part in batch.parts:
        assert part.rows.y.numpy().tolist() == part.indices.tolist()
        assert np.array_equal(part.rows.x.numpy(), row_values(part.indices))
    return [int(row) for part in batch.parts for row in part.indices]


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(1, 120),
    st.integers(1, 50),
    st.integers(1, 5),
    st.lists(st.integers(0, 10**6), max_size=3),
)
def test_each_row_comes_once_an_epoch_through_kills_on_any_number_of_workers(
    sizes: list[int], window_rows: int, batch: int, num_workers: int, kills: list[int]
) -> None:
    blocks = Blocks(tuple(sizes), window_rows)
    plan = plan_of(blocks, batch, logical_shards=6)
    total = 2 * plan.steps_per_epoch
    stops = sorted({0, total, *(kill % total for kill in kills)})
    rows: list[int] = []
    for ends in itertools.pairwise(stops):
        for own in parts_by_worker(6, num_workers):
            feed = FakeFeed(blocks)
            rows += delivered(feed, feed.split(), plan, own, ends)
    assert sorted(rows) == sorted([*range(plan.num_rows)] * 2)


def test_a_stream_goes_on_in_the_window_of_its_position() -> None:
    feed = FakeFeed(Blocks((10,) * 10, window_rows=20))
    plan = plan_of(feed.blocks, batch=5)
    delivered(feed, feed.split(), plan, range(4), (13, 17))  # positions 65 to 85
    assert feed.delivered == [(0, 3), (0, 4)]


def test_no_window_is_made_that_no_step_needs() -> None:
    feed = FakeFeed(Blocks((10,) * 10, window_rows=20))
    delivered(feed, feed.split(), plan_of(feed.blocks, batch=5), range(4), (0, 20))
    assert feed.delivered == [(0, window) for window in range(5)]


def test_what_lies_behind_is_let_go_of() -> None:
    feed = FakeFeed(Blocks((10,) * 50, window_rows=20))
    shards = StreamedShards(feed)
    for window in range(20):
        shards.enter((0, window), (0, 24))
        shards.map(
            [Shard(f"{n}", 10, "", 0) for n in feed.blocks.windows("order/3/0").numbers(window)]
        )
    assert len(shards._held) == 2
    shards.end()


def test_a_worker_without_rows_keeps_up() -> None:
    feed = FakeFeed(Blocks((10,) * 10, window_rows=10))
    plan = plan_of(feed.blocks, batch=3, logical_shards=4)  # three parts a step
    assert delivered(feed, feed.split(), plan, range(3, 4), (0, plan.steps_per_epoch)) == []
    assert feed.delivered == [(0, window) for window in range(10)]


def test_a_fault_of_the_feed_comes_where_its_window_would_have() -> None:
    feed = FakeFeed(Blocks((10,) * 10, window_rows=20), fails_at=(0, 2))
    plan = plan_of(feed.blocks, batch=20)
    with pytest.raises(DataError, match="has changed"):
        delivered(feed, feed.split(), plan, range(4), (0, 5))
    assert feed.delivered == [(0, 0), (0, 1)]


def test_the_end_does_not_wait_for_a_window() -> None:
    @final
    class Stuck(Feed):
        def __init__(self) -> None:
            self.ended = threading.Event()

        def windows(self, *_: WindowId) -> Iterator[Delivery]:
            assert self.ended.wait(30)
            yield from ()

        def end(self) -> None:
            self.ended.set()

    feed = Stuck()
    blocks = Blocks((10, 10), window_rows=20)
    split = Split(StreamedShards(feed), [Shard("0", 10, "", 0), Shard("1", 10, "", 0)], COLUMNS)
    with Loader(split, WorkerParts(plan_of(blocks), range(4))).batches(0, 1):
        pass
    assert feed.ended.is_set()


def test_two_workers_get_what_one_gets() -> None:
    blocks = Blocks((9, 30, 4, 17, 22), window_rows=25)
    plan = plan_of(blocks, batch=12)
    alone = FakeFeed(blocks)
    whole = delivered(alone, alone.split(), plan, range(4), (0, 20))
    shared = []
    for own in (range(3), range(3, 4)):
        feed = FakeFeed(blocks)
        shared += delivered(feed, feed.split(), plan, own, (0, 20))
    assert sorted(shared) == sorted(whole)
