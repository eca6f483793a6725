"""What a worker's loader delivers."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from distrain.data.loader import Loader, StepBatch, read_ahead
from distrain.data.plan import Plan
from distrain.data.prepared import PreparedDataset, Split
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
    for batch in delivered(Loader(split, plan, range(4)), 0, 2 * plan.steps_per_epoch):
        rows = plan.rows(*plan.position(batch.step))
        assert batch.num_rows == len(rows)
        for part, (start, stop) in zip(batch.parts, plan.parts(len(rows)), strict=True):
            assert part.indices.tolist() == rows[start:stop].tolist()
            assert part.rows.x.numpy().tolist() == everything["x"][part.indices].tolist()
            assert part.rows.y.tolist() == everything["y"][part.indices].tolist()


@pytest.mark.parametrize("bounds", [(0, 4), (0, 2, 4), (0, 2, 3, 4), (0, 1, 2, 3, 4)])
def test_workers_share_the_parts_of_one(split: Split, bounds: tuple[int, ...]) -> None:
    plan = plan_of(split)
    alone = delivered(Loader(split, plan, range(4)), 0, 20)
    owned = [range(*ends) for ends in itertools.pairwise(bounds)]
    shared = [delivered(Loader(split, plan, own), 0, 20) for own in owned]
    for step, batch in enumerate(alone):
        parts = [part for worker in shared for part in worker[step].parts]
        assert [part.index for part in parts] == [part.index for part in batch.parts]
        assert [part.indices.tolist() for part in parts] == [
            part.indices.tolist() for part in batch.parts
        ]


def test_a_short_step_leaves_later_workers_without_parts(split: Split) -> None:
    plan = plan_of(split, global_batch_size=50)  # the last step of an epoch has 3 rows
    batches = delivered(Loader(split, plan, range(3, 4)), 0, plan.steps_per_epoch)
    assert [len(batch.parts) for batch in batches] == [1, 1, 0]


def test_delivery_begins_anywhere(split: Split) -> None:
    loader = Loader(split, plan_of(split), range(4))
    from_start = delivered(loader, 0, 12)[9:]
    from_there = delivered(loader, 9, 12)
    assert [batch.step for batch in from_there] == [9, 10, 11]
    assert [p.indices.tolist() for b in from_there for p in b.parts] == [
        p.indices.tolist() for b in from_start for p in b.parts
    ]


def test_tensors_are_aligned_and_images_stay_bytes(tmp_path: Path) -> None:
    images = PreparedDataset.open(write_images(tmp_path, {"train": 31})).split("train")
    plan = plan_of(images, global_batch_size=7)
    for batch in delivered(Loader(images, plan, range(4)), 0, 4):
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
    loader = Loader(split, plan_of(split, global_batch_size=103), range(4))
    with loader.batches(0, 1_000_000) as batches:
        taken = [next(batches).num_rows for _ in range(3)]
    assert np.array(taken).tolist() == [103, 103, 103]
