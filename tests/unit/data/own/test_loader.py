"""What a worker's loader delivers of a Dataset of the user's own."""

import contextlib
import itertools
import multiprocessing
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.data.loader import StepBatch
from distrain.data.own.batches import same_values
from distrain.data.own.loader import ROWS_PLANNED, OwnLoader
from distrain.data.own.reading import KeyedReader
from distrain.data.own.split import OwnSplit, Portion
from distrain.data.plan import Plan
from distrain.data.worker_parts import WorkerParts
from distrain.train.world import parts_by_worker
from tests.user_code import own_datasets

ROWS = 50
SEED = 3


def split_of(name: str, num_processes: int = 0, collate: Any = None, **args: Any) -> OwnSplit:
    dataset = getattr(own_datasets, name)(**args)
    return OwnSplit(
        Portion(10, 10 + ROWS, 60, "order"),
        lambda: KeyedReader(dataset, collate, SEED, name),
        None,
        row_bytes=24,
        num_processes=num_processes,
    )


def plan_of(**changes: int) -> Plan:
    fields = {"num_rows": ROWS, "global_batch_size": 16, "logical_shards": 4, "min_part_rows": 1}
    return Plan(**{**fields, "seed": SEED, **changes})


def delivered(
    split: OwnSplit, plan: Plan, own: range, start: int, stop: int, one_part: int | None = None
) -> list[StepBatch]:
    loader = OwnLoader(split, WorkerParts(plan, own, one_part), torch.device("cpu"))
    with loader.batches(start, stop) as batches:
        return list(batches)


def test_parts_hold_the_rows_that_the_plan_says() -> None:
    split, plan = split_of("Plain"), plan_of()
    for batch in delivered(split, plan, range(4), 0, 2 * plan.steps_per_epoch):
        rows = plan.rows(*plan.position(batch.step))
        assert (batch.epoch, batch.num_rows) == (plan.position(batch.step)[0], len(rows))
        for part, (start, stop) in zip(batch.parts, plan.parts(len(rows)), strict=True):
            assert part.indices.tolist() == rows[start:stop].tolist()
            numbers = split.portion.numbers(part.indices)
            assert part.rows.x[0].tolist() == own_datasets.Plain().x[numbers].tolist()
            assert part.rows.x[1].tolist() == own_datasets.Plain().y[numbers].tolist()


@pytest.mark.parametrize("num_processes", [0, 1])
@pytest.mark.parametrize("name", ["Noisy", "Mixed", "Sentences"])
def test_workers_share_the_parts_of_one_whoever_reads(name: str, num_processes: int) -> None:
    collate = own_datasets.padded if name == "Sentences" else None
    plan, stop = plan_of(), 6
    alone = delivered(split_of(name, 0, collate), plan, range(4), 0, stop)
    shared = [
        delivered(split_of(name, num_processes, collate), plan, own, 0, stop)
        for own in (range(1), range(1, 4))
    ]
    for step, batch in enumerate(alone):
        parts = [part for worker in shared for part in worker[step].parts]
        assert [part.index for part in parts] == [part.index for part in batch.parts]
        for one, other in zip(parts, batch.parts, strict=True):
            assert one.indices.tolist() == other.indices.tolist()
            assert same_values(one.rows.x, other.rows.x)


def test_a_worker_may_get_its_parts_as_one_and_a_short_step_none() -> None:
    plan = plan_of(global_batch_size=24)  # the last step of an epoch has 2 rows
    batches = delivered(split_of("Plain"), plan, range(1, 4), 0, 3, one_part=7)
    last = delivered(split_of("Plain"), plan, range(2, 4), 2, 3)
    assert [[(part.index, len(part.indices)) for part in one.parts] for one in batches] == [
        [(7, 18)], [(7, 18)], [(7, 1)]
    ]  # fmt: skip
    assert [one.parts for one in last] == [[]]


@given(
    changes=st.fixed_dictionaries(
        {
            "num_rows": st.integers(2, ROWS),
            "global_batch_size": st.integers(2, 60),
            "logical_shards": st.integers(1, 5),
            "min_part_rows": st.sampled_from([1, 2]),
        }
    ),
    attempts=st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 12), st.integers(0, 5)), max_size=3
    ),
)
@settings(max_examples=10, deadline=None)
def test_killed_and_resized_workers_are_given_each_row_once_with_the_same_draws(
    changes: dict[str, int], attempts: list[tuple[int, int, int]]
) -> None:
    plan = plan_of(**changes)
    steps = 2 * plan.steps_per_epoch
    undisturbed = parts_of(plan, 1, 0, steps)
    trained: dict[int, list[Any]] = {}
    begin = 0
    # Each attempt has its own number of workers, is killed after some steps and loses some.
    for workers, done, lost in [*attempts, (2, steps, 0)]:
        end = min(steps, begin + done)
        trained |= parts_of(plan, min(workers, plan.logical_shards), begin, end)
        begin = max(0, end - lost)
    assert trained == undisturbed
    rows = [row for step in range(steps // 2) for indices, _ in trained[step] for row in indices]
    assert sorted(rows) == list(range(plan.num_rows))


def parts_of(plan: Plan, num_workers: int, start: int, stop: int) -> dict[int, list[Any]]:
    """Return the rows of each step's parts as workers were given them; read on, then killed."""
    found: dict[int, list[Any]] = {step: [] for step in range(start, stop)}
    for own in parts_by_worker(plan.logical_shards, num_workers):
        loader = OwnLoader(split_of("Mixed"), WorkerParts(plan, own), torch.device("cpu"))
        with loader.batches(start, stop + 5) as batches:
            for batch in itertools.islice(batches, stop - start):
                found[batch.step] += [
                    (part.indices.tolist(), part.rows.x[0].tolist()) for part in batch.parts
                ]
    return found


def test_the_order_does_not_depend_on_how_many_steps_are_planned_at_once() -> None:
    rows = ROWS_PLANNED * 5 // 2
    split = OwnSplit(
        Portion(0, rows, rows, None),
        lambda: KeyedReader(range(rows), None, SEED, "range"),
        None,
        row_bytes=8,
    )
    plan = plan_of(num_rows=rows, global_batch_size=ROWS_PLANNED // 3)
    batches = delivered(split, plan, range(4), 3, 12)
    assert [batch.step for batch in batches] == list(range(3, 12))
    for batch in batches:
        found = torch.cat([part.rows.x for part in batch.parts])
        assert found.tolist() == plan.rows(*plan.position(batch.step)).tolist()


@pytest.mark.parametrize("num_read", [0, 1, 3])
def test_a_loader_that_is_closed_early_leaves_no_process(num_read: int) -> None:
    loader = OwnLoader(
        split_of("Noisy", num_processes=2), WorkerParts(plan_of(), range(4)), torch.device("cpu")
    )
    with loader.batches(0, 100) as batches:
        assert len(list(itertools.islice(batches, num_read))) == num_read
        assert bool(multiprocessing.active_children()) == bool(num_read)
    assert not multiprocessing.active_children()


def test_a_loader_left_by_an_error_leaves_no_process() -> None:
    loader = OwnLoader(
        split_of("Noisy", num_processes=1), WorkerParts(plan_of(), range(4)), torch.device("cpu")
    )
    with contextlib.suppress(KeyError), loader.batches(0, 100) as batches:
        next(batches)
        raise KeyError
    assert not multiprocessing.active_children()
