"""A prepared dataset on remote storage is read as a local one is, from bounded copies."""

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from distrain.data import loader, shard_cache
from distrain.data import plan as plan_module
from distrain.data.files import below
from distrain.data.loader import Loader, check_room
from distrain.data.plan import Plan
from distrain.data.prepared import PreparedDataset, Split
from distrain.data.remote_cache import RemoteCache
from distrain.data.shard_cache import ShardCache
from distrain.data.worker_parts import WorkerParts
from distrain.errors import DataError
from tests.flaky_storage import FlakyStorage, flaky_storage, flaky_uri
from tests.prepared_examples import write_classified

ROWS = 1200
SHARD_ROWS = 20


@pytest.fixture(autouse=True)
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FlakyStorage]]:
    """Slow storage, and windows of 64 rows in blocks of 16, so that small data has many."""
    monkeypatch.setattr(shard_cache, "FETCH_PAUSE_S", 0.001)
    monkeypatch.setattr(plan_module, "WINDOW_ROWS", 64)
    monkeypatch.setattr(plan_module, "BLOCK_ROWS", 16)
    monkeypatch.setattr(loader, "STEPS_PER_READ", 1)
    monkeypatch.setattr(shard_cache, "ROOM_WAIT_S", 30)
    plan_module._windows.cache_clear()
    plan_module._window_blocks.cache_clear()
    with flaky_storage() as storage:
        yield storage
    plan_module._windows.cache_clear()
    plan_module._window_blocks.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = {"train": ROWS, "validation": 50}
    return write_classified(tmp_path / "remote", rows, shard_rows=SHARD_ROWS)


def needed(folder: Path) -> int:
    """Return the least bound; with reads of one step, four of them are less than two windows."""
    return PreparedDataset.open(folder).split("train").most_bytes(loader.LEAST_WINDOWS + 1)


def fetched(folder: Path, max_bytes: int | None = None) -> PreparedDataset:
    cache = ShardCache(folder.parent / "local", max_bytes)
    return PreparedDataset.open(flaky_uri(folder), cache)


def used_bytes(folder: Path) -> int:
    """Return the bytes of the whole shards; nothing is evicted while they are counted."""
    cache = folder.parent / "local"
    with (cache / ".room").open("rb") as room:
        fcntl.flock(room, fcntl.LOCK_EX)
        return sum(path.stat().st_size for path in cache.glob("*.arrow"))


def plan_of(split: Split) -> Plan:
    return Plan(
        num_rows=split.num_rows, global_batch_size=16, logical_shards=4, min_part_rows=1, seed=0
    )


def test_rows_are_those_of_the_local_dataset(folder: Path) -> None:
    local, remote = PreparedDataset.open(folder), fetched(folder)
    assert remote.digest == local.digest
    wanted = np.random.default_rng(0).integers(0, ROWS, 100)
    for name, values in local.split("train").take(wanted).items():
        assert np.array_equal(remote.split("train").take(wanted)[name], values)
    for name, values in local.split("validation").slice(7, 45).items():
        assert np.array_equal(remote.split("validation").slice(7, 45)[name], values)


def test_only_what_is_read_is_fetched(folder: Path) -> None:
    fetched(folder).split("train").take(np.array([0, SHARD_ROWS + 1]))
    assert set(FlakyStorage.reads) == {
        "manifest.json",
        "train-00000.arrow",
        "train-00001.arrow",
    }


def test_training_reads_two_epochs_through_a_cache_smaller_than_the_data(folder: Path) -> None:
    bound = needed(folder)
    local = PreparedDataset.open(folder).split("train")
    remote = fetched(folder, bound).split("train")
    plan = plan_of(local)
    assert bound < sum(shard.num_bytes for shard in local.shards) * 0.8
    for name in ("train-00003.arrow", "train-00011.arrow"):
        FlakyStorage.faults[name] = [OSError("connection reset"), b"half a sha"]
    steps = 2 * plan.steps_per_epoch
    with (
        Loader(local, WorkerParts(plan, range(4))).batches(0, steps) as expected,
        Loader(remote, WorkerParts(plan, range(4))).batches(0, steps) as batches,
    ):
        for one, other in zip(expected, batches, strict=True):
            assert used_bytes(folder) <= bound
            assert [part.indices.tolist() for part in one.parts] == [
                part.indices.tolist() for part in other.parts
            ]
            assert all(
                np.array_equal(mine.rows.x, theirs.rows.x)
                for mine, theirs in zip(one.parts, other.parts, strict=True)
            )


def test_two_workers_share_a_cache_of_the_least_size(folder: Path) -> None:
    bound = needed(folder)
    splits = [fetched(folder, bound).split("train") for _ in range(2)]
    plan = plan_of(splits[0])
    owned = [range(2), range(2, 4)]
    steps = 2 * plan.steps_per_epoch
    with (
        Loader(splits[0], WorkerParts(plan, owned[0])).batches(0, steps) as first,
        Loader(splits[1], WorkerParts(plan, owned[1])).batches(0, steps) as second,
    ):
        delivered = [[*one.parts, *other.parts] for one, other in zip(first, second, strict=True)]
    rows = [int(row) for parts in delivered[: steps // 2] for part in parts for row in part.indices]
    assert sorted(rows) == list(range(ROWS))


def test_the_next_window_is_fetched_before_it_is_needed(folder: Path) -> None:
    split = fetched(folder).split("train")
    plan = plan_of(split)
    FlakyStorage.delay_s = 0.01
    windows = plan.spans_ahead(0)
    next(windows)
    second = {start // SHARD_ROWS for start, _ in next(windows)}
    with Loader(split, WorkerParts(plan, range(4))).batches(0, 3) as batches:
        next(batches)
        wait_until(lambda: all(FlakyStorage.reads[f"train-{n:05d}.arrow"] for n in second))


def test_fetching_ahead_waits_for_room_until_it_is_no_longer_wished_for(folder: Path) -> None:
    split = fetched(folder, max_bytes=10).split("train")
    split.fetch_ahead([(0, 100)])
    assert fetching_ahead()
    split.fetch_ahead(())
    wait_until(lambda: not fetching_ahead())
    assert not used_bytes(folder)


def test_fetching_ahead_ends_with_the_batches(folder: Path) -> None:
    split = fetched(folder).split("train")
    FlakyStorage.delay_s = 0.05
    with Loader(split, WorkerParts(plan_of(split), range(4))).batches(0, 3) as batches:
        next(batches)
    wait_until(lambda: not fetching_ahead())
    assert len(FlakyStorage.reads) < len(split.shards)


def fetching_ahead() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "fetch-ahead" in thread.name]


def test_a_fault_of_fetching_ahead_is_told_by_whom_it_concerns(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = fetched(folder).split("train")
    FlakyStorage.faults["train-00000.arrow"] = [OSError("away")] * (shard_cache.FETCH_TRIES + 1)
    with caplog.at_level(logging.WARNING):
        split.fetch_ahead([(0, 5)])
        wait_until(lambda: "cannot be fetched: away" in caplog.text)
    assert split.take(np.array([3]))["x"].shape == (1, 6)


def test_too_small_a_cache_is_refused_with_the_size_that_would_do(folder: Path) -> None:
    validation = PreparedDataset.open(folder).split("validation")
    bound = needed(folder) + validation.most_bytes(1)

    def check(max_bytes: int | None) -> None:
        dataset = fetched(folder, max_bytes)
        train = dataset.split("train")
        check_room(train, [dataset.split("validation")], plan_of(train), range(1))

    check(None)
    check(bound)
    with pytest.raises(DataError, match=rf"at least {bound:,}.*data\.cache\.max_bytes={bound}"):
        check(bound - 1)


def test_small_data_asks_for_no_more_room_than_it_takes(tmp_path: Path) -> None:
    split = PreparedDataset.open(write_classified(tmp_path, {"train": 30})).split("train")
    assert split.most_bytes(3) == split.shards[0].num_bytes


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prepared dataset is here"):
        PreparedDataset.open(flaky_uri(tmp_path))


def test_a_dataset_counts_once_it_is_whole_and_noted(folder: Path) -> None:
    digest = PreparedDataset.open(folder).digest
    folder.rename(folder.parent / digest)
    cache = RemoteCache(flaky_uri(folder.parent), "0" * 64, ShardCache(folder.parent / "local"))
    assert cache.find() is None
    cache.note(digest)
    found = cache.find()
    assert found is not None
    assert found.digest == digest
    (folder.parent / digest / "manifest.json").unlink()
    assert cache.find() is None


@pytest.mark.parametrize(
    ("place", "below_it"),
    [
        ("s3://bucket", "s3://bucket/a/b"),
        ("s3://bucket/c/", "s3://bucket/c/a/b"),
        (
            "s3://bucket/c?endpoint_override=host:9000",
            "s3://bucket/c/a/b?endpoint_override=host:9000",
        ),
    ],
)
def test_the_query_of_a_uri_stays_at_its_end(place: str, below_it: str) -> None:
    assert below(place, "a/b") == below_it


def test_storage_that_is_away_is_told_and_not_taken_for_empty(folder: Path) -> None:
    cache = RemoteCache(flaky_uri(folder), "0" * 64, ShardCache(folder.parent / "local"))
    cache.note("1" * 64)
    FlakyStorage.faults[f"{'0' * 16}.json"] = [OSError("no route to host")]
    with pytest.raises(DataError, match=r"cannot be read here \(no route to host\)"):
        cache.find()


def wait_until(is_so: Callable[[], bool]) -> None:
    gives_up = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < gives_up
        time.sleep(0.01)
