"""A node's copies of remote shards: verified, bounded, shared, never taken from under a reader."""

import contextlib
import hashlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from distrain.data import shard_cache as module
from distrain.data.files import filesystem_of
from distrain.data.shard_cache import ShardCache
from distrain.data.shards import Shard
from distrain.errors import DataError
from tests.flaky_storage import FlakyStorage, flaky_storage, flaky_uri

SIZE = 1000
HOLDER = """
import sys, time
from pathlib import Path
from distrain.data.shard_cache import ShardCache
from distrain.data.shards import Shard
name, sha256, folder = sys.argv[1:]
held = ShardCache(Path(folder)).map(Shard(name, 1, sha256, 1000), open)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FlakyStorage]]:
    monkeypatch.setattr(module, "FETCH_PAUSE_S", 0.001)
    with flaky_storage() as storage:
        yield storage


@pytest.fixture
def shards(tmp_path: Path, storage: type[FlakyStorage]) -> list[Shard]:
    """Five shards of 1,000 bytes on the storage."""
    (tmp_path / "remote").mkdir()
    made = []
    for number in range(5):
        content = random.Random(number).randbytes(SIZE)
        (tmp_path / "remote" / f"{number}.arrow").write_bytes(content)
        made.append(Shard(f"{number}.arrow", 1, hashlib.sha256(content).hexdigest(), SIZE))
    return made


@pytest.fixture
def open_remote(tmp_path: Path) -> module.Opener:
    system, root = filesystem_of(flaky_uri(tmp_path / "remote"))
    return lambda name: system.open_input_stream(f"{root}/{name}", compression=None)


def cache_of(tmp_path: Path, num_shards: int | None = None) -> ShardCache:
    return ShardCache(tmp_path / "local", num_shards and num_shards * SIZE)


def is_right(content: pa.Buffer, shard: Shard) -> bool:
    return hashlib.sha256(content).hexdigest() == shard.sha256


def test_a_shard_is_fetched_once(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    cache = cache_of(tmp_path)
    assert is_right(cache.map(shards[0], open_remote), shards[0])
    assert is_right(cache.map(shards[0], open_remote), shards[0])
    assert FlakyStorage.reads["0.arrow"] == 1


@pytest.mark.parametrize(
    "fault", [OSError("connection reset"), b"", b"other content", bytes(2 * SIZE)]
)
def test_a_failed_fetch_is_tried_again(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener, fault: Exception | bytes
) -> None:
    FlakyStorage.faults["0.arrow"] = [fault, TimeoutError()]
    assert is_right(cache_of(tmp_path).map(shards[0], open_remote), shards[0])
    assert FlakyStorage.reads["0.arrow"] == 3


@pytest.mark.parametrize(
    ("fault", "told"),
    [(OSError("no route"), "no route"), (b"damaged", "its SHA-256 is"), (OSError(), "OSError")],
)
def test_what_cannot_be_fetched_is_told_and_leaves_nothing(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener, fault: Exception, told: str
) -> None:
    FlakyStorage.faults["0.arrow"] = [fault] * module.FETCH_TRIES
    with pytest.raises(DataError, match=rf"0\.arrow: a shard cannot be fetched: .*{told}") as lost:
        cache_of(tmp_path).map(shards[0], open_remote)
    assert isinstance(lost.value.__cause__, OSError) == isinstance(fault, OSError)
    assert [path.name for path in (tmp_path / "local").iterdir()] == [".room"]


def test_a_shard_that_is_not_there_is_told_at_once(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    (tmp_path / "remote" / "0.arrow").unlink()
    with pytest.raises(DataError, match="it is not there"):
        cache_of(tmp_path).map(shards[0], open_remote)
    assert FlakyStorage.reads["0.arrow"] <= 1


def test_what_was_used_least_recently_goes_first(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    cache = cache_of(tmp_path, num_shards=2)
    for number in (0, 1, 0, 2):
        cache.map(shards[number], open_remote)
        time.sleep(0.02)  # file systems count time in ticks
    assert [cache.has(shard) for shard in shards] == [True, False, True, False, False]


def test_what_is_mapped_is_never_evicted(
    tmp_path: Path,
    shards: list[Shard],
    open_remote: module.Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ROOM_WAIT_S", 0.1)
    cache = cache_of(tmp_path, num_shards=2)
    held = [cache.map(shard, open_remote) for shard in shards[:2]]
    assert not cache.bring(shards[2], open_remote, ())
    with pytest.raises(DataError, match=r"fills the 2,000 bytes of data\.cache\.max_bytes"):
        cache.map(shards[2], open_remote)
    assert all(map(is_right, held, shards))
    del held
    assert is_right(cache.map(shards[2], open_remote), shards[2])


def test_what_is_needed_no_later_is_kept_from_what_is_fetched_ahead(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    cache = cache_of(tmp_path, num_shards=2)
    keep = {shard.sha256 for shard in shards[:3]}
    assert cache.bring(shards[0], open_remote, keep)
    assert cache.bring(shards[1], open_remote, keep)
    assert not cache.bring(shards[2], open_remote, keep)
    assert cache.bring(shards[2], open_remote, keep - {shards[0].sha256})


def test_workers_of_a_node_fetch_a_shard_once(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    FlakyStorage.delay_s = 0.05
    with ThreadPoolExecutor(6) as workers:
        caches = [cache_of(tmp_path) for _ in range(6)]
        contents = list(workers.map(lambda cache: cache.map(shards[0], open_remote), caches))
    assert all(is_right(content, shards[0]) for content in contents)
    assert FlakyStorage.reads["0.arrow"] == 1


def test_what_another_process_has_mapped_stays_until_it_dies(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    cache = cache_of(tmp_path, num_shards=1)
    command = [sys.executable, "-c", HOLDER, "0.arrow", shards[0].sha256, str(tmp_path / "local")]
    cache.map(shards[0], open_remote)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not cache.bring(shards[1], open_remote, ())
        holder.kill()
    assert cache.bring(shards[1], open_remote, ())


def test_what_a_dead_process_had_half_fetched_takes_no_room(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    cache = cache_of(tmp_path, num_shards=2)
    cache.map(shards[0], open_remote)
    for shard in shards[1:3]:
        (tmp_path / "local" / f"{shard.sha256}.part").write_bytes(bytes(SIZE))
    assert is_right(cache.map(shards[1], open_remote), shards[1])
    assert cache.has(shards[0])
    assert not list((tmp_path / "local").glob("*.part"))


def test_many_readers_in_little_room_read_right_and_keep_to_it(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    most, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            sizes = []
            for path in (tmp_path / "local").glob("*.*r*"):
                with contextlib.suppress(FileNotFoundError):  # evicted meanwhile
                    sizes.append(path.stat().st_size)
            most[0] = max(most[0], sum(sizes))

    def read(seed: int) -> bool:
        chosen = random.Random(seed)
        cache = cache_of(tmp_path, num_shards=4)
        picks = [chosen.choice(shards) for _ in range(40)]
        return all(is_right(cache.map(shard, open_remote), shard) for shard in picks)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(3) as readers:
        assert all(readers.map(read, range(3)))
    is_over.set()
    watcher.join()
    assert 0 < most[0] <= 5 * SIZE  # one may be counted under both of its names


def test_a_folder_that_cannot_be_made_is_told(
    tmp_path: Path, shards: list[Shard], open_remote: module.Opener
) -> None:
    (tmp_path / "local").write_text("in the way")
    with pytest.raises(DataError, match=r"it cannot be made.*data\.cache\.local_path"):
        cache_of(tmp_path).map(shards[0], open_remote)
