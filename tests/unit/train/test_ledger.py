"""The ledger of rows that were trained on."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distrain.data.loader import Part, StepBatch
from distrain.data.tensors import Rows
from distrain.train import ledger as ledger_module
from distrain.train.ledger import Ledger, remove_after


def batch(step: int, *parts: list[int]) -> StepBatch:
    empty = Rows(torch.empty(0), torch.empty(0), None)
    made = [Part(index, np.array(rows), empty) for index, rows in enumerate(parts)]
    return StepBatch(step, step // 2, sum(map(len, parts)), made)


def rows_of(run_dir: Path) -> list[tuple[int, ...]]:
    paths = sorted((run_dir / "ledger").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))


def test_every_row_is_entered_with_its_epoch_step_and_part(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, 0)
    ledger.add(batch(1, [5, 6], [7]))
    ledger.add(batch(2, [8]))
    ledger.commit(3)
    assert rows_of(tmp_path) == [(1, 2, 0, 5), (1, 2, 0, 6), (1, 2, 1, 7), (2, 3, 0, 8)]
    schema = pq.read_schema(tmp_path / "ledger/step-00000003-rank-0.parquet")
    assert schema.names == ["epoch", "step", "logical_shard", "row"]
    assert set(schema.types) == {pa.int64()}


def test_nothing_is_there_before_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BUFFER_ROWS", 1)
    ledger = Ledger(tmp_path, 0)
    ledger.add(batch(0, [1]))
    assert list((tmp_path / "ledger").glob("*.parquet")) == []
    ledger.commit(1)
    assert rows_of(tmp_path) == [(1, 1, 0, 1)]


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    Ledger(tmp_path, 0).commit(5)
    assert list((tmp_path / "ledger").iterdir()) == []


def test_what_comes_after_a_checkpoint_is_removed(tmp_path: Path) -> None:
    for rank in (0, 1):
        ledger = Ledger(tmp_path, rank)
        for step in range(3):
            ledger.add(batch(step, [step]))
            ledger.commit(step + 1)
        (tmp_path / f"ledger/.rank-{rank}.partial").touch()
    remove_after(tmp_path, 2)
    names = sorted(path.name for path in (tmp_path / "ledger").iterdir())
    assert names == [
        f"step-0000000{step}-rank-{rank}.parquet" for step in (1, 2) for rank in (0, 1)
    ]
