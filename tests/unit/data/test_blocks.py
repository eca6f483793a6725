"""The order of a split that is streamed: blocks of many sizes, gathered into windows."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distrain.data.blocks import Blocks
from distrain.data.plan import Plan, windows_between

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=30)
MANY = Blocks((7, 30, 1, 12, 12, 40, 3), window_rows=25)


def plan_of(blocks: Blocks | None, num_rows: int, **changes: int) -> Plan:
    fields = {"global_batch_size": 16, "logical_shards": 4, "min_part_rows": 1, "seed": 3}
    return Plan(num_rows=num_rows, **{**fields, **changes}, blocks=blocks)


def order(plan: Plan, epoch: int) -> list[int]:
    steps = (plan.rows(epoch, step) for step in range(plan.steps_per_epoch))
    return np.concatenate(list(steps)).tolist()  # type: ignore[no-any-return]  # of numpy


@given(SIZES, st.integers(1, 200), st.integers(0, 3), st.integers(1, 50))
def test_an_epoch_has_each_row_once_whatever_the_blocks(
    sizes: list[int], window_rows: int, epoch: int, batch: int
) -> None:
    blocks = Blocks(tuple(sizes), window_rows)
    plan = plan_of(blocks, sum(sizes), global_batch_size=batch)
    assert sorted(order(plan, epoch)) == list(range(sum(sizes)))


@given(SIZES, st.integers(0, 3))
def test_a_split_that_is_one_window_has_the_order_of_a_prepared_one(
    sizes: list[int], epoch: int
) -> None:
    blocks = Blocks(tuple(sizes), window_rows=sum(sizes))
    streamed, prepared = plan_of(blocks, sum(sizes)), plan_of(None, sum(sizes))
    assert order(streamed, epoch) == order(prepared, epoch)


@given(SIZES, st.integers(1, 200), st.integers(0, 2))
def test_the_windows_of_an_epoch_share_its_blocks(
    sizes: list[int], window_rows: int, epoch: int
) -> None:
    windows = Blocks(tuple(sizes), window_rows).windows(f"order/3/{epoch}")
    numbers = [windows.numbers(window) for window in range(windows.num_windows)]
    assert sorted(itertools.chain.from_iterable(numbers)) == list(range(len(sizes)))
    assert all(numbers)


@given(SIZES, st.integers(1, 200), st.data())
def test_the_rows_of_a_step_lie_in_its_windows(
    sizes: list[int], window_rows: int, data: st.DataObject
) -> None:
    blocks = Blocks(tuple(sizes), window_rows)
    plan = plan_of(blocks, sum(sizes))
    step = data.draw(st.integers(0, 2 * plan.steps_per_epoch - 1))
    first, last = plan.window_of(step), plan.window_of(step, of_last_row=True)
    held = {
        row
        for _, numbers in windows_between(blocks, plan.seed, first, last)
        for number in numbers
        for row in range(blocks.starts[number], blocks.starts[number + 1])
    }
    assert set(plan.rows(*plan.position(step)).tolist()) <= held


def test_windows_are_about_as_long_as_they_should_be() -> None:
    blocks = Blocks((10,) * 100, window_rows=50)
    windows = blocks.windows("key")
    assert [windows.start_of(window) for window in range(21)] == list(range(0, 1001, 50))


def test_epochs_permute_the_blocks_anew() -> None:
    first, second = (MANY.windows(f"order/0/{epoch}").spans(0) for epoch in range(2))
    assert first != second


def test_windows_go_on_in_the_next_epoch() -> None:
    per_epoch = [MANY.windows(f"order/0/{epoch}").num_windows for epoch in range(3)]
    found = [window for window, _ in windows_between(MANY, 0, (0, 1), (2, 0))]
    assert found == [
        *((0, window) for window in range(1, per_epoch[0])),
        *((1, window) for window in range(per_epoch[1])),
        (2, 0),
    ]


def test_windows_ahead_are_those_of_the_order() -> None:
    plan = plan_of(MANY, 105)
    spans = next(plan.spans_ahead(0))
    assert spans == MANY.windows("order/3/0").spans(0)


@pytest.mark.parametrize(
    "blocks",
    [Blocks((50, 55), 40), Blocks((55, 50), 40), Blocks((50, 55), 41), None],
)
def test_the_digest_tells_orders_apart(blocks: Blocks | None) -> None:
    assert plan_of(Blocks((50, 55), 40), 105).digest == plan_of(Blocks((50, 55), 40), 105).digest
    is_same = blocks is not None and blocks.num_rows == (50, 55) and blocks.window_rows == 40
    assert (plan_of(blocks, 105).digest == plan_of(Blocks((50, 55), 40), 105).digest) == is_same


def test_a_plan_for_ten_thousand_million_rows_is_quick() -> None:
    blocks = Blocks((200_000,) * 50_000, window_rows=1 << 20)
    plan = plan_of(blocks, 10**10, global_batch_size=4096)
    rows = plan.rows(*plan.position(1_000_000))
    assert len(set(rows.tolist())) == 4096
    window = plan.window_of(1_000_000)
    numbers = dict(windows_between(blocks, plan.seed, window, window))[window]
    assert set((rows // 200_000).tolist()) <= set(numbers)
