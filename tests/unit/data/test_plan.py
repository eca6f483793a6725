"""Which rows make up which step."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.data import plan as plan_module
from distrain.data.plan import (
    Plan,
    epoch_order,
    evaluation_batches,
    keyed_bijection,
    permutation,
)
from distrain.errors import ConfigError, DataError


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    least = draw(st.sampled_from([1, 2]))
    return Plan(
        num_rows=draw(st.integers(least, 300)),
        global_batch_size=draw(st.integers(least, 70)),
        logical_shards=draw(st.integers(1, 9)),
        min_part_rows=least,
        seed=draw(st.integers(0, 3)),
    )


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Windows of 64 rows in blocks of 16, so that small data has many."""
    monkeypatch.setattr(plan_module, "WINDOW_ROWS", 64)
    monkeypatch.setattr(plan_module, "BLOCK_ROWS", 16)
    plan_module._window_layout.cache_clear()
    plan_module._window_rows.cache_clear()
    yield
    plan_module._window_layout.cache_clear()
    plan_module._window_rows.cache_clear()


@given(plans(), st.integers(0, 3))
def test_an_epoch_has_each_row_once(plan: Plan, epoch: int) -> None:
    rows = [plan.rows(epoch, step) for step in range(plan.steps_per_epoch)]
    assert sorted(np.concatenate(rows)) == list(range(plan.num_rows))


@given(plans())
def test_only_the_last_step_of_an_epoch_has_another_size(plan: Plan) -> None:
    sizes = [len(plan.rows(0, step)) for step in range(plan.steps_per_epoch)]
    assert sizes[:-1] == [plan.global_batch_size] * (len(sizes) - 1)
    assert plan.min_part_rows <= sizes[-1] < plan.global_batch_size + plan.min_part_rows


@given(plans(), st.integers(2, 300))
def test_parts_cover_a_step_in_order_and_differ_by_at_most_one_row(plan: Plan, rows: int) -> None:
    parts = plan.parts(rows)
    sizes = [stop - start for start, stop in parts]
    assert [start for start, _ in parts] + [rows] == [0] + [stop for _, stop in parts]
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == max(1, min(plan.logical_shards, rows // plan.min_part_rows))


def test_too_short_a_last_batch_joins_the_step_before_it() -> None:
    plan = Plan(num_rows=21, global_batch_size=10, logical_shards=4, min_part_rows=2, seed=0)
    assert [len(plan.rows(0, step)) for step in range(plan.steps_per_epoch)] == [10, 11]


def test_the_order_is_the_one_it_has_always_been() -> None:
    plan = Plan(num_rows=10, global_batch_size=4, logical_shards=2, min_part_rows=1, seed=7)
    steps = [plan.rows(*plan.position(step)).tolist() for step in range(4)]
    assert steps == [[9, 8, 4, 1], [2, 5, 0, 6], [3, 7], [6, 0, 5, 3]]
    assert plan.digest == "555008dc5ea07e9ce09142c31ed40fcd7b3551ba421f9ec0cd06036def9efca6"
    many = epoch_order(3_000_000, 0, 1, 1_999_998, 2_000_002)
    assert many.tolist() == [699830, 331065, 426220, 2687838]


@settings(max_examples=30)
@given(rows=st.integers(65, 700), seed=st.integers(0, 3), cuts=st.lists(st.integers(0, 700)))
@pytest.mark.usefixtures("small_windows")
def test_windows_make_one_order_however_it_is_cut(rows: int, seed: int, cuts: list[int]) -> None:
    whole = epoch_order(rows, seed, 1, 0, rows)
    assert sorted(whole) == list(range(rows))
    bounds = [0, *sorted(cut for cut in cuts if cut <= rows), rows]
    pieces = [epoch_order(rows, seed, 1, *ends) for ends in itertools.pairwise(bounds)]
    assert np.concatenate(pieces).tolist() == whole.tolist()


@pytest.mark.usefixtures("small_windows")
def test_a_window_holds_rows_of_few_blocks() -> None:
    window = epoch_order(640, 0, 0, 64, 128)
    assert len(np.unique(window // 16)) == 4


@given(st.integers(1, 2000), st.text(max_size=4))
@settings(max_examples=50)
def test_the_bijection_is_one_and_has_an_inverse(size: int, key: str) -> None:
    values = np.arange(size, dtype=np.uint64)
    images = keyed_bijection(values, size, key)
    assert sorted(images) == list(range(size))
    assert keyed_bijection(images, size, key, inverse=True).tolist() == values.tolist()


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(epoch_order(100, seed, epoch, 0, 100)) for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_permutation_mixes_well() -> None:
    moved = permutation(10_000, "key")
    assert abs(np.corrcoef(np.arange(10_000), moved)[0, 1]) < 0.03


@given(st.integers(0, 5000), st.integers(2, 1500))
def test_evaluation_visits_each_row_once_and_never_a_single_one(rows: int, size: int) -> None:
    batches = evaluation_batches(rows, size)
    assert [row for start, stop in batches for row in range(start, stop)] == list(range(rows))
    assert all(stop - start >= min(2, rows) for start, stop in batches)
    assert all(stop - start <= size + 1 for start, stop in batches)


def test_plans_share_a_digest_only_if_all_their_steps_are_the_same() -> None:
    fields = {"num_rows": 50, "global_batch_size": 8, "logical_shards": 4, "min_part_rows": 1}
    one = Plan(**fields, seed=0)
    assert one.digest == Plan(**fields, seed=0).digest
    others = [Plan(**{**fields, name: value + 1}, seed=0) for name, value in fields.items()]
    assert len({one.digest, Plan(**fields, seed=1).digest, *(o.digest for o in others)}) == 6


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match="the training split has 1 row"):
        Plan(num_rows=1, global_batch_size=4, logical_shards=2, min_part_rows=2, seed=0)


def test_a_batch_of_one_row_is_refused_for_batch_norm() -> None:
    with pytest.raises(ConfigError, match="batch norm"):
        Plan(num_rows=9, global_batch_size=1, logical_shards=2, min_part_rows=2, seed=0)
