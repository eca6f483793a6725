"""Which rows make up which step."""

import itertools
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.data import plan as plan_module
from distrain.data.bijection import keyed_bijection
from distrain.data.plan import (
    BLOCK_ROWS,
    WINDOW_ROWS,
    Plan,
    evaluation_batches,
    filled_up,
)
from distrain.errors import ConfigError, DataError
from distrain.train.world import parts_by_worker
from tests.any_text import ANY_CHARACTER

# Ten thousand million rows on 1,024 workers, the last block of rows short.
HUGE = Plan(
    num_rows=10**10 + 12_345, global_batch_size=4096, logical_shards=1024, min_part_rows=1, seed=0
)
COLD_STEP = """
import time
from pathlib import Path
from distrain.data.plan import Plan
plan = Plan(10**10, 4096, 1024, 1, 0)
started = time.process_time()
plan.rows(*plan.position(1_000_000))
seconds = time.process_time() - started
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(seconds, int(status["VmHWM"].split()[0]) / 1024)
"""


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
    plan_module._windows.cache_clear()
    plan_module._window_blocks.cache_clear()
    yield
    plan_module._windows.cache_clear()
    plan_module._window_blocks.cache_clear()


def epoch_order(num_rows: int, seed: int, epoch: int) -> list[int]:
    """Return the order of an epoch, as a plan of a single step has it."""
    order: list[int] = Plan(num_rows, num_rows, 1, 1, seed).rows(epoch, 0).tolist()
    return order


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
    assert steps == [[1, 9, 7, 4], [3, 5, 6, 2], [8, 0], [4, 0, 7, 8]]
    assert plan.digest == "daa34fcfe1f531dc5cb179989ba2c2f093c132af00a2124250c48820895e2d21"
    many = Plan(3_000_000, 3_000_000, 1, 1, 0).rows(1, 0, 1_999_998, 2_000_002)
    assert many.tolist() == [126285, 2443549, 1830676, 1672871]


@settings(max_examples=30)
@given(rows=st.integers(65, 700), seed=st.integers(0, 3), cuts=st.lists(st.integers(0, 700)))
@pytest.mark.usefixtures("small_windows")
def test_windows_make_one_order_however_it_is_cut(rows: int, seed: int, cuts: list[int]) -> None:
    whole = epoch_order(rows, seed, 1)
    assert sorted(whole) == list(range(rows))
    bounds = [0, *sorted(cut for cut in cuts if cut <= rows), rows]
    plan = Plan(rows, rows, 1, 1, seed)
    pieces = [plan.rows(1, 0, *ends) for ends in itertools.pairwise(bounds)]
    assert np.concatenate(pieces).tolist() == whole


@pytest.mark.usefixtures("small_windows")
def test_a_window_holds_rows_of_few_blocks() -> None:
    window = epoch_order(640, 0, 0)[64:128]
    assert len({row // 16 for row in window}) == 4


@given(st.integers(1, 2000), st.text(ANY_CHARACTER, max_size=4))
@settings(max_examples=50)
def test_the_bijection_is_one_and_has_an_inverse(size: int, key: str) -> None:
    values = np.arange(size, dtype=np.uint64)
    images = keyed_bijection(values, size, key)
    assert sorted(images) == list(range(size))
    assert keyed_bijection(images, size, key, inverse=True).tolist() == values.tolist()


@given(
    plan=plans(),
    epochs=st.integers(1, 2),
    attempts=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40), st.integers(0, 9))),
)
def test_kills_and_resizes_change_nothing(
    plan: Plan, epochs: int, attempts: list[tuple[int, int, int]]
) -> None:
    total = epochs * plan.steps_per_epoch
    trained: dict[int, list[list[int]]] = {}
    begin = 0
    # Each attempt has its own number of workers, is killed after some steps and loses some.
    for workers, done, lost in [*attempts, (1, total, 0)]:
        end = min(total, begin + done)
        for step in range(begin, end):
            again = parts_of_workers(plan, step, min(workers, plan.logical_shards))
            assert trained.setdefault(step, again) == again
        begin = max(0, end - lost)
    order = [row for step in range(total) for part in trained[step] for row in part]
    for epoch in range(epochs):
        rows = order[epoch * plan.num_rows : (epoch + 1) * plan.num_rows]
        assert sorted(rows) == list(range(plan.num_rows))
        assert rows == epoch_order(plan.num_rows, plan.seed, epoch)


def parts_of_workers(plan: Plan, step: int, workers: int) -> list[list[int]]:
    """Return the rows of a step's parts, each computed by the worker that owns the part."""
    epoch, in_epoch = plan.position(step)
    count = plan.num_rows_in(in_epoch)
    return [
        plan.rows(epoch, in_epoch, *cut).tolist()
        for own in parts_by_worker(plan.logical_shards, workers)
        for cut in plan.parts(count, own)
    ]


@pytest.mark.usefixtures("small_windows")
def test_a_batch_may_be_larger_than_a_window() -> None:
    plan = Plan(num_rows=500, global_batch_size=200, logical_shards=3, min_part_rows=1, seed=0)
    rows = [plan.rows(0, step) for step in range(plan.steps_per_epoch)]
    assert [len(step) for step in rows] == [200, 200, 100]
    assert sorted(np.concatenate(rows)) == list(range(500))
    assert plan.rows(0, 1, 70, 150).tolist() == rows[1][70:150].tolist()


@given(plans(), st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9), st.integers(0, 9))))
def test_pieces_of_several_steps_are_those_of_each(
    plan: Plan, wanted: list[tuple[int, int, int]]
) -> None:
    pieces, each = [], []
    for step, start, length in sorted(wanted):
        size = plan.num_rows_in(plan.position(step)[1])
        ends = (min(start, size), min(start + length, size))
        pieces.append((step, *ends))
        each += plan.rows(*plan.position(step), *ends).tolist()
    assert plan.rows_of_pieces(pieces).tolist() == each


@pytest.mark.usefixtures("small_windows")
def test_the_windows_ahead_hold_the_rows_of_the_steps_to_come() -> None:
    plan = Plan(num_rows=500, global_batch_size=30, logical_shards=3, min_part_rows=1, seed=0)
    windows = plan.spans_ahead(plan.steps_per_epoch + 4)  # step 4, so position 120, of epoch 1
    ahead = [
        row for spans in itertools.islice(windows, 8) for span in spans for row in range(*span)
    ]
    assert set(epoch_order(500, 0, 1)[120:]) <= set(ahead[: 500 - 64])
    assert set(epoch_order(500, 0, 2)[:64]) <= set(ahead[500 - 64 :])


@pytest.mark.slow
def test_windows_tile_ten_thousand_million_rows() -> None:
    num_blocks = -(-HUGE.num_rows // BLOCK_ROWS)
    num_windows = -(-num_blocks // (WINDOW_ROWS // BLOCK_ROWS))
    windows = plan_module._windows(HUGE.num_rows, HUGE.seed, 0)
    starts = np.array([windows.start_of(window) for window in range(num_windows + 1)])
    spans = np.array([s for w in itertools.islice(HUGE.spans_ahead(0), num_windows) for s in w])
    # The windows' spans are all blocks, each once, and a window is as long as its spans.
    assert sorted(spans[:, 0]) == list(range(0, HUGE.num_rows, BLOCK_ROWS))
    assert (spans[:, 1] - spans[:, 0]).sum() == HUGE.num_rows
    sizes = np.add.reduceat(spans[:, 1] - spans[:, 0], range(0, num_blocks, 16))
    assert np.diff(starts).tolist() == sizes.tolist()
    assert windows.window_of(starts[:-1].max()) == num_windows - 1
    inside = starts[1:] - 1
    assert [windows.window_of(int(last)) for last in inside] == list(range(num_windows))


@pytest.mark.parametrize("step", [0, 1_000_000, HUGE.steps_per_epoch - 1])
def test_1024_workers_share_a_step_without_gap_or_overlap(step: int) -> None:
    rows = [row for part in parts_of_workers(HUGE, step, 1024) for row in part]
    assert rows == HUGE.rows(0, step).tolist()
    assert len(set(rows)) == HUGE.num_rows_in(step)
    assert 0 <= min(rows) <= max(rows) < HUGE.num_rows
    spans = next(HUGE.spans_ahead(step))
    assert all(any(start <= row < stop for start, stop in spans) for row in rows[:50])


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak of memory")
def test_a_far_step_is_cheap_in_a_fresh_process() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", COLD_STEP], capture_output=True, text=True, check=True
    )
    seconds, mebibytes = map(float, ran.stdout.split())
    assert seconds <= 0.05
    assert mebibytes <= 200


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(epoch_order(100, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("size", [10_000, 65_537])
def test_the_bijection_mixes_well(size: int) -> None:
    moved = keyed_bijection(np.arange(size, dtype=np.uint64), size, "key").astype(np.int64)
    assert abs(np.corrcoef(np.arange(size), moved)[0, 1]) < 0.03
    assert abs(np.corrcoef(moved[:-1], moved[1:])[0, 1]) < 0.03


@pytest.mark.parametrize("size", [2, 3, 5, 17])
def test_each_value_goes_everywhere_alike(size: int) -> None:
    values = np.arange(size, dtype=np.uint64)
    counts = np.zeros((size, size))
    for key in range(1000):
        counts[values, keyed_bijection(values, size, str(key))] += 1
    expected = 1000 / size
    freedom = (size - 1) ** 2
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < freedom + 5 * np.sqrt(2 * freedom)


@given(st.integers(0, 5000), st.integers(2, 1500))
def test_evaluation_visits_each_row_once(rows: int, size: int) -> None:
    batches = evaluation_batches(rows, size)
    assert [row for start, stop in batches for row in range(start, stop)] == list(range(rows))
    assert all(1 <= stop - start <= size for start, stop in batches)


@pytest.mark.parametrize(("rows", "filled"), [(1, 32), (2, 32), (31, 32), (32, 32), (33, 64)])
def test_a_batch_is_filled_up_with_its_own_rows(rows: int, filled: int) -> None:
    found = filled_up(rows)
    assert len(found) == filled
    assert found[:rows].tolist() == list(range(rows))
    assert set(found.tolist()) == set(range(rows))


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
