"""Training on a prepared dataset that lies on remote storage."""

from dataclasses import replace
from pathlib import Path

import pytest

from distrain.data import shard_cache
from distrain.errors import DataError
from distrain.train.loop import TrainJob, train
from distrain.train.preflight import try_first_batch
from distrain.train.world import World
from tests.flaky_storage import FlakyStorage, flaky_storage, flaky_uri
from tests.prepared_examples import write_classified


def test_weights_are_those_of_local_data_however_the_storage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_cache, "FETCH_PAUSE_S", 0.001)
    rows = {"train": 123, "validation": 40, "test": 33}
    folder = write_classified(tmp_path / "remote", rows, shard_rows=50)
    model = {"name": "mlp", "hidden": [8]}
    local = TrainJob(
        str(tmp_path / "a"), str(folder), model, global_batch_size=16, logical_shards=4, epochs=2
    )
    remote = replace(
        local,
        run_dir=str(tmp_path / "b"),
        prepared_dir=flaky_uri(folder),
        fetch_into=str(tmp_path / "local"),
        fetch_max_bytes=100_000,
    )
    with flaky_storage():
        FlakyStorage.faults["train-00001.arrow"] = [OSError("connection reset"), b"damaged"]
        FlakyStorage.faults["validation-00000.arrow"] = [TimeoutError("slow")]
        far = train(remote, World.single("cpu"))
    near = train(local, World.single("cpu"))
    assert far.weights_sha256 == near.weights_sha256
    assert far.metrics == near.metrics


def test_too_small_a_cache_is_told_before_anything_is_launched(tmp_path: Path) -> None:
    folder = write_classified(tmp_path / "remote", {"train": 123, "validation": 40})
    job = TrainJob(
        str(tmp_path / "run"),
        flaky_uri(folder),
        {"name": "linear"},
        epochs=1,
        fetch_into=str(tmp_path / "local"),
        fetch_max_bytes=1000,
    )
    with flaky_storage(), pytest.raises(DataError, match=r"data\.cache\.max_bytes: 1,000 bytes"):
        try_first_batch(job)
