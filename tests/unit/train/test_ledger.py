"""The ledger of rows that were trained on."""

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distrain.data.loader import Part, StepBatch
from distrain.data.tensors import Rows
from distrain.errors import CheckpointError
from distrain.train import ledger as ledger_module
from distrain.train.ledger import Ledger, await_parts, remove_after
from tests.failing_storage import remembering_what_was_not_there


def batch(step: int, *parts: list[int]) -> StepBatch:
    empty = Rows(torch.empty(0), torch.empty(0), None)
    made = [Part(index, np.array(rows), empty) for index, rows in enumerate(parts)]
    return StepBatch(step, step // 2, sum(map(len, parts)), made)


def rows_of(run_dir: Path) -> list[tuple[int, ...]]:
    paths = sorted((run_dir / "ledger").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))


def commit(ledger: Ledger, step: int) -> None:
    ledger.cut()
    ledger.commit(step)


def test_every_row_is_entered_with_its_epoch_step_and_part(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, 0)
    ledger.add(batch(1, [5, 6], [7]))
    ledger.add(batch(2, [8]))
    commit(ledger, 3)
    assert rows_of(tmp_path) == [(1, 2, 0, 5), (1, 2, 0, 6), (1, 2, 1, 7), (2, 3, 0, 8)]
    schema = pq.read_schema(tmp_path / "ledger/step-00000003-rank-0.parquet")
    assert schema.names == ["epoch", "step", "logical_shard", "row"]
    assert set(schema.types) == {pa.int64()}


@pytest.mark.parametrize("buffer_rows", [1, 2, 3, 1000])
def test_more_rows_than_memory_should_hold_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_rows: int
) -> None:
    monkeypatch.setattr(ledger_module, "BUFFER_ROWS", buffer_rows)
    ledger = Ledger(tmp_path, 0)
    for step in range(4):
        ledger.add(batch(step, [2 * step, 2 * step + 1]))
    assert list((tmp_path / "ledger").glob("*.parquet")) == []
    commit(ledger, 4)
    assert [row for *_, row in rows_of(tmp_path)] == list(range(8))
    assert [path.name for path in (tmp_path / "ledger").iterdir()] == [
        "step-00000004-rank-0.parquet"
    ]


def test_rows_after_a_cut_are_for_the_next_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, 0)
    ledger.add(batch(0, [1]))
    ledger.cut()
    ledger.add(batch(1, [2]))
    ledger.commit(1)
    assert [row for *_, row in rows_of(tmp_path)] == [1]
    commit(ledger, 2)
    assert [row for *_, row in rows_of(tmp_path)] == [1, 2]


def test_nothing_new_is_an_empty_file(tmp_path: Path) -> None:
    commit(Ledger(tmp_path, 0), 5)
    assert rows_of(tmp_path) == []


@pytest.mark.parametrize("place", ["_write_at", "replacing"])
def test_no_row_is_lost_when_a_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(ledger_module, "BUFFER_ROWS", 2)
    ledger = Ledger(tmp_path, 0)
    ledger.add(batch(0, [0, 1]))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(ledger_module, place, fail)
        full.setattr(ledger_module, "replacing", fail)
        for step in (1, 2, 3):
            ledger.add(batch(step, [2 * step, 2 * step + 1]))
        with pytest.raises(OSError, match="No space left"):
            commit(ledger, 4)
    ledger.add(batch(4, [8, 9]))
    commit(ledger, 5)
    assert [row for *_, row in rows_of(tmp_path)] == list(range(10))


def test_rank_zero_waits_for_the_parts_of_the_others(tmp_path: Path) -> None:
    slow = Ledger(tmp_path, 1)
    timer = threading.Timer(0.05, lambda: commit(slow, 3))
    timer.start()
    await_parts(tmp_path, 3, 2, timeout_s=30, is_leaving=threading.Event())
    assert (tmp_path / "ledger/step-00000003-rank-1.parquet").exists()
    timer.join()


def test_a_worker_that_cannot_write_its_part_is_not_waited_for(tmp_path: Path) -> None:
    Ledger(tmp_path, 1).tell_failure(3)
    with pytest.raises(OSError, match="rank 1 could not write"):
        await_parts(tmp_path, 3, 2, timeout_s=30, is_leaving=threading.Event())
    assert list((tmp_path / "ledger").iterdir()) == []


def test_a_part_from_another_host_is_found_though_there_was_none_before(tmp_path: Path) -> None:
    part = tmp_path / "ledger/step-00000003-rank-1.parquet"
    part.parent.mkdir()
    timer = threading.Timer(0.05, part.touch)
    with remembering_what_was_not_there():
        timer.start()
        await_parts(tmp_path, 3, 2, timeout_s=5, is_leaving=threading.Event())
    timer.join()


def test_a_failure_on_another_host_is_told_though_there_was_none_before(tmp_path: Path) -> None:
    timer = threading.Timer(0.05, Ledger(tmp_path, 1).tell_failure, [3])
    timer.start()
    with remembering_what_was_not_there(), pytest.raises(OSError, match="rank 1 could not write"):
        await_parts(tmp_path, 3, 2, timeout_s=5, is_leaving=threading.Event())
    timer.join()


def test_a_worker_that_was_taken_for_lost_leaves_nothing_for_others(tmp_path: Path) -> None:
    def taken_over() -> None:
        raise CheckpointError("the run was taken over")

    stale = Ledger(tmp_path, 1, taken_over)
    stale.add(batch(0, [1]))
    with pytest.raises(CheckpointError, match="taken over"):
        stale.tell_failure(3)
    with pytest.raises(CheckpointError, match="taken over"):
        commit(stale, 3)
    assert list((tmp_path / "ledger").iterdir()) == []


def test_workers_of_one_rank_do_not_write_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BUFFER_ROWS", 2)
    own, stale = Ledger(tmp_path, 1), Ledger(tmp_path, 1)
    own.add(batch(0, [1, 2]))
    stale.add(batch(0, [7, 8]))
    commit(own, 3)
    assert [row for *_, row in rows_of(tmp_path)] == [1, 2]


def test_a_part_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="rank 1 wrote no part"):
        await_parts(tmp_path, 3, 2, timeout_s=0.02, is_leaving=threading.Event())


def test_what_comes_after_a_checkpoint_is_removed(tmp_path: Path) -> None:
    for rank in (0, 1):
        ledger = Ledger(tmp_path, rank)
        for step in range(3):
            ledger.add(batch(step, [step]))
            commit(ledger, step + 1)
        (tmp_path / f"ledger/.rank-{rank}-7.rows").touch()
    remove_after(tmp_path, 2)
    names = sorted(path.name for path in (tmp_path / "ledger").iterdir())
    assert names == [
        f"step-0000000{step}-rank-{rank}.parquet" for step in (1, 2) for rank in (0, 1)
    ]
