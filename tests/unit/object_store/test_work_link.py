import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import pytest

from distrain import lease
from distrain.errors import StorageError
from distrain.object_store import live
from distrain.object_store.bucket import Bucket
from distrain.object_store.link import link_of, shown
from distrain.object_store.live import put_last_words, put_outcome, take_in_outcome
from distrain.object_store.place import Place
from distrain.object_store.work_folder import new_token, work_folder
from distrain.object_store.work_link import (
    driver_folder,
    for_workers,
    reading_folder,
    worker_folder,
)
from distrain.run_folder import keep_files
from distrain.track.journal import JournalWriter
from tests.s3_server import S3Server


@pytest.fixture(autouse=True)
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def folders(disk: Path) -> list[str]:
    return [path.name for base in disk.glob("distrain-runs-*") for path in base.iterdir()]


def _die_in(token: str, disk: str, has_begun: object) -> None:
    tempfile.tempdir = disk
    with work_folder(token, is_driver=True):
        has_begun.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_command_leaves_nothing_behind(disk: Path) -> None:
    with work_folder(new_token(), is_driver=True) as (folder, _):
        (folder / "file").touch()
        assert len(folders(disk)) == 1

    assert folders(disk) == []


def test_a_folder_is_removed_once_its_process_is_dead_and_not_before(disk: Path) -> None:
    context = multiprocessing.get_context("spawn")
    has_begun = context.Event()
    process = context.Process(target=_die_in, args=("theirs", str(disk), has_begun))
    process.start()
    assert has_begun.wait(30)
    with work_folder("ours", is_driver=True):
        assert sorted(folders(disk)) == ["ours", "theirs"]
    process.kill()
    process.join()

    with work_folder("ours", is_driver=True):
        assert folders(disk) == ["ours"]


def test_a_worker_of_the_driver_s_host_works_in_its_folder(run: Place) -> None:
    with driver_folder(run, is_new=True) as folder, lease.holding(folder, print) as held:
        lease.begin_attempt(folder, held.fence, 1)
        link = link_of(folder)
        assert link is not None
        told = json.loads(json.dumps(for_workers(link, 1)))

        with worker_folder(told, rank=1) as theirs:
            assert theirs == folder


def test_hosts_tell_one_another_by_the_store(
    run: Place, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.05)
    with driver_folder(run, is_new=True) as folder, lease.holding(folder, print) as held:
        lease.begin_attempt(folder, held.fence, 1)
        link = link_of(folder)
        assert link is not None
        (disk / "other").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(disk / "other"))
        with worker_folder(for_workers(link, 1), rank=0) as theirs:
            ours = link_of(theirs)
            assert ours is not None
            (theirs / "logs").mkdir()
            (theirs / "logs" / "beat-rank-0").write_bytes(b"beat")
            journal = JournalWriter(theirs / "journal", "rank0")
            journal.note("of another host")
            (folder / ".stop").touch()
            _wait_for(theirs / ".stop")
            _wait_for(folder / "logs" / "beat-rank-0")
            _wait_for(folder / "journal" / "rank0-00001.jsonl")
            (theirs / "logs" / "failure-rank-0.json").write_text("{}")
            (theirs / "checkpoints").mkdir()
            (theirs / "checkpoints" / "final.safetensors").write_bytes(b"weights")
            put_last_words(ours, 0)
            put_outcome(ours)
        take_in_outcome(link)

        assert ours.is_apart
        assert theirs != folder
        assert (folder / "logs" / "failure-rank-0.json").read_text() == "{}"
        assert (folder / "checkpoints" / "final.safetensors").read_bytes() == b"weights"
        assert "of another host" in (folder / "journal" / "rank0-00001.jsonl").read_text()
        assert link.durable["rank0-00001.jsonl"] == journal.path.stat().st_size


def test_what_a_killed_worker_of_this_host_wrote_last_is_kept(run: Place) -> None:
    with driver_folder(run, is_new=True) as folder, lease.holding(folder, print) as held:
        lease.begin_attempt(folder, held.fence, 1)
        link = link_of(folder)
        assert link is not None
        (folder / "journal").mkdir(exist_ok=True)
        (folder / "journal" / "rank0-00001.jsonl").write_text('{"seq": 1}\n{"se')
        take_in_outcome(link)

        [entry] = link.run.entries("journal/000001-000/rank0-00001.jsonl/")
        assert link.run.get(entry.name) == b'{"seq": 1}\n'


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_who_reads_a_run_gets_a_copy_and_puts_nothing(run: Place, disk: Path) -> None:
    with driver_folder(run, is_new=True) as folder, lease.holding(folder, print):
        (folder / "config.yaml").write_text("name: a")
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_bytes(b"w")
        journal = JournalWriter(folder / "journal", "driver")
        journal.note("done")
        journal.close()
        keep_files(folder)
    before = Bucket(run).entries("")

    with reading_folder(run) as copy:
        found = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
        (copy / "config.yaml").write_text("name: b")
        told = shown(copy / "journal")
        assert lease.newest_fence(copy) == 1

    assert found == ["config.yaml", "journal/driver-00001.jsonl", "model/weights"]
    assert told == run.below("journal").uri
    assert Bucket(run).entries("") == before
    assert folders(disk) == []


def test_a_few_files_may_be_all_that_is_read(run: Place) -> None:
    for name in ("config.yaml", "model/weights"):
        Bucket(run).put(f"files/000001-000/{name}", b"x")

    with reading_folder(run, ("config.yaml", "result.json")) as copy:
        assert [path.name for path in copy.iterdir()] == ["config.yaml"]


def test_a_run_cannot_be_read_while_its_store_is_away(run: Place, server: S3Server) -> None:
    with (
        server.being_away(),
        pytest.raises(StorageError, match="the store does not answer"),
        reading_folder(run),
    ):
        pass


def test_a_path_is_told_as_it_is_found_again(run: Place) -> None:
    with driver_folder(run, is_new=True) as folder, lease.holding(folder, print):
        names = ("", "logs/a.txt", "checkpoints/step-2")
        told = [shown(folder / name) for name in names]

    at = run.uri.partition("?")[0]
    assert [uri.partition("?")[0] for uri in told] == [
        at,
        f"{at}/files/000001-000/logs/a.txt",
        f"{at}/checkpoints/*/step-2",
    ]
    assert shown(folder) == str(folder)
