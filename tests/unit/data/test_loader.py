"""What a worker's loader delivers."""

import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.data.loader import Loader, StepBatch, read_ahead
from distrain.data.plan import Plan
from distrain.data.prepared import PreparedDataset, Split
from distrain.data.worker_parts import WorkerParts
from distrain.train.world import parts_by_worker
from tests.prepared_examples import write_classified, write_images

ROWS = 103


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = write_classified(tmp_path_factory.mktemp("data"), {"train": ROWS}, shard_rows=10)
    return PreparedDataset.open(folder).split("train")


def plan_of(split: Split, **changes: int) -> Plan:
    fields = {"global_batch_size": 16, "logical_shards": 4, "min_part_rows": 1, "seed": 3}
    return Plan(num_rows=split.num_rows, **{**fields, **changes})


def delivered(loader: Loader, start: int, stop: int) -> list[StepBatch]:
    with loader.batches(start, stop) as batches:
        return list(batches)


def test_parts_hold_the_rows_that_the_plan_says(split: Split) -> None:
    plan = plan_of(split)
    everything = split.slice(0, ROWS)
    for batch in delivered(Loader(split, WorkerParts(plan, range(4))), 0, 2 * plan.steps_per_epoch):
        rows = plan.rows(*plan.position(batch.step))
        assert batch.num_rows == len(rows)
        for part, (start, stop) in zip(batch.parts, plan.parts(len(rows)), strict=True):
            assert part.indices.tolist() == rows[start:stop].tolist()
            assert part.rows.x.numpy().tolist() == everything["x"][part.indices].tolist()
            assert part.rows.y.tolist() == everything["y"][part.indices].tolist()


@pytest.mark.parametrize("bounds", [(0, 4), (0, 2, 4), (0, 2, 3, 4), (0, 1, 2, 3, 4)])
def test_workers_share_the_parts_of_one(split: Split, bounds: tuple[int, ...]) -> None:
    plan = plan_of(split)
    alone = delivered(Loader(split, WorkerParts(plan, range(4))), 0, 20)
    owned = [range(*ends) for ends in itertools.pairwise(bounds)]
    shared = [delivered(Loader(split, WorkerParts(plan, own)), 0, 20) for own in owned]
    for step, batch in enumerate(alone):
        parts = [part for worker in shared for part in worker[step].parts]
        assert [part.index for part in parts] == [part.index for part in batch.parts]
        assert [part.indices.tolist() for part in parts] == [
            part.indices.tolist() for part in batch.parts
        ]


def test_a_worker_may_get_its_parts_as_one(split: Split) -> None:
    plan = plan_of(split, global_batch_size=50)  # the last step of an epoch has 3 rows
    apart = delivered(Loader(split, WorkerParts(plan, range(1, 4))), 0, 2 * plan.steps_per_epoch)
    as_one = delivered(
        Loader(split, WorkerParts(plan, range(1, 4), 7)), 0, 2 * plan.steps_per_epoch
    )
    for batch, parts in zip(as_one, (batch.parts for batch in apart), strict=True):
        assert [part.index for part in batch.parts] == [7]
        assert batch.parts[0].indices.tolist() == [i for part in parts for i in part.indices]
        assert len(batch.parts[0].rows) == sum(len(part.rows) for part in parts)


def test_a_step_without_parts_for_a_worker_has_none_as_one(split: Split) -> None:
    plan = plan_of(split, global_batch_size=50)
    batches = delivered(Loader(split, WorkerParts(plan, range(3, 4), 1)), 0, plan.steps_per_epoch)
    assert [len(batch.parts) for batch in batches] == [1, 1, 0]


def test_a_short_step_leaves_later_workers_without_parts(split: Split) -> None:
    plan = plan_of(split, global_batch_size=50)  # the last step of an epoch has 3 rows
    batches = delivered(Loader(split, WorkerParts(plan, range(3, 4))), 0, plan.steps_per_epoch)
    assert [len(batch.parts) for batch in batches] == [1, 1, 0]


def test_delivery_begins_anywhere(split: Split) -> None:
    loader = Loader(split, WorkerParts(plan_of(split), range(4)))
    from_start = delivered(loader, 0, 12)[9:]
    from_there = delivered(loader, 9, 12)
    assert [batch.step for batch in from_there] == [9, 10, 11]
    assert [p.indices.tolist() for b in from_there for p in b.parts] == [
        p.indices.tolist() for b in from_start for p in b.parts
    ]


@given(
    changes=st.fixed_dictionaries(
        {
            "num_rows": st.integers(2, ROWS),
            "global_batch_size": st.integers(2, 60),
            "logical_shards": st.integers(1, 7),
            "min_part_rows": st.sampled_from([1, 2]),
            "seed": st.integers(0, 3),
        }
    ),
    attempts=st.lists(
        st.tuples(st.integers(1, 7), st.integers(0, 12), st.integers(0, 5)), max_size=3
    ),
)
@settings(max_examples=25, deadline=None)
def test_killed_and_resized_workers_are_given_each_row_once_in_the_same_parts(
    split: Split, changes: dict[str, int], attempts: list[tuple[int, int, int]]
) -> None:
    plan = Plan(**changes)
    steps = 2 * plan.steps_per_epoch
    undisturbed = parts_of(split, plan, 1, 0, steps)
    trained: dict[int, list[list[int]]] = {}
    begin = 0
    # Each attempt has its own number of workers, is killed after some steps and loses some.
    for workers, done, lost in [*attempts, (2, steps, 0)]:
        end = min(steps, begin + done)
        workers = min(workers, plan.logical_shards)
        trained |= parts_of(split, plan, workers, begin, end)
        begin = max(0, end - lost)
    assert trained == undisturbed
    rows = [row for step in range(steps // 2) for part in trained[step] for row in part]
    assert sorted(rows) == list(range(plan.num_rows))


def parts_of(
    split: Split, plan: Plan, num_workers: int, start: int, stop: int
) -> dict[int, list[list[int]]]:
    """Return the rows of each step's parts as workers were given them; read on, then killed."""
    parts: dict[int, list[list[int]]] = {step: [] for step in range(start, stop)}
    for own in parts_by_worker(plan.logical_shards, num_workers):
        with Loader(split, WorkerParts(plan, own)).batches(start, 10**6) as batches:
            for batch in itertools.islice(batches, stop - start):
                parts[batch.step] += [part.indices.tolist() for part in batch.parts]
    return parts


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the memory of the process")
def test_memory_stays_flat_over_ten_thousand_steps(tmp_path: Path) -> None:
    folder = write_classified(tmp_path, {"train": 50_000}, num_features=40, shard_rows=1000)
    split = PreparedDataset.open(folder).split("train")
    plan = plan_of(split, global_batch_size=128)
    used = []
    with Loader(split, WorkerParts(plan, range(4))).batches(0, 10_001) as batches:
        for batch in batches:
            if batch.step % 1000 == 0:
                used.append(own_bytes())
    # What is read ahead is there after the first steps; from then on nothing is added.
    assert max(used[2:]) - used[1] < 8 * 2**20
    assert used[-1] - used[1] < 4 * 2**20


def own_bytes() -> int:
    """Return the memory of this process that is not mapped from files."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def test_tensors_are_aligned_and_images_stay_bytes(tmp_path: Path) -> None:
    images = PreparedDataset.open(write_images(tmp_path, {"train": 31})).split("train")
    plan = plan_of(images, global_batch_size=7)
    for batch in delivered(Loader(images, WorkerParts(plan, range(4))), 0, 4):
        for part in batch.parts:
            assert part.rows.x.dtype.itemsize == 1
            assert part.rows.x.data_ptr() % 64 == 0


def test_reading_ahead_passes_a_fault_on_where_it_happened() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("torn shard")

    with read_ahead(items(), 2) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ValueError, match="torn shard"):
            next(ahead)


def test_the_thread_ends_with_the_block() -> None:
    before = threading.active_count()
    with read_ahead(iter(range(1_000_000)), 2) as ahead:
        assert next(ahead) == 0
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_memory_read_ahead_does_not_grow_with_the_dataset(split: Split) -> None:
    loader = Loader(split, WorkerParts(plan_of(split, global_batch_size=103), range(4)))
    with loader.batches(0, 1_000_000) as batches:
        taken = [next(batches).num_rows for _ in range(3)]
    assert np.array(taken).tolist() == [103, 103, 103]
