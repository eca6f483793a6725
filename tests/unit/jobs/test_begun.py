"""The run that a submission has begun before, in a folder or at a store."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from distrain.errors import StorageError
from distrain.jobs.begun import find_begun
from distrain.jobs.ticket import Ticket
from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place
from distrain.run_folder import CONFIG, STARTED
from distrain.stored_run import Started
from tests.s3_server import S3Server

JOB = "distrain-a-1"
_NUMBERS = itertools.count()


def begin(storage: Path, run: str, job_id: str | None, won: tuple[str, int] | None = None) -> Path:
    run_dir = storage / "a" / run
    run_dir.mkdir(parents=True)
    (run_dir / CONFIG).write_text("{}", encoding="utf-8")
    tags = {} if job_id is None else {"distrain.job": job_id}
    started = Started([], "d", [], {}, tags)
    replace(started, won=won).save(run_dir)
    return run_dir


def ticket_of(storage: Path | str) -> Ticket:
    return Ticket(JOB, "", {}, [], storage=str(storage), name="a")


@pytest.fixture
def at_store(server: S3Server, account: None) -> Place:
    """Storage of a test's own at a store."""
    return server.place(f"begun-{next(_NUMBERS)}")


def keep_at(storage: Place, run_dir: Path, names: tuple[str, ...] = (CONFIG, STARTED)) -> None:
    """Put files of a run's folder to where the driver of the run has them at a store."""
    run = Bucket(storage.below(f"{run_dir.parent.name}/{run_dir.name}"))
    for name in names:
        run.put(f"files/000001-000/{name}", (run_dir / name).read_bytes())


def test_the_newest_run_of_the_submission_is_found(tmp_path: Path) -> None:
    begin(tmp_path, "20260101T000000-aaaaaa", JOB)
    newest = begin(tmp_path, "20260102T000000-aaaaaa", JOB)
    begin(tmp_path, "20260103T000000-aaaaaa", "distrain-a-2")
    begin(tmp_path, "20260104T000000-aaaaaa", None)

    assert find_begun(ticket_of(tmp_path)) == str(newest)


def test_a_search_goes_on_rather_than_what_won_it(tmp_path: Path) -> None:
    sweep = begin(tmp_path, "20260101T000000-aaaaaa", JOB)
    begin(tmp_path, "20260101T000000-aaaaaa-3", JOB, won=("a/20260101T000000-aaaaaa", 3))

    assert find_begun(ticket_of(tmp_path)) == str(sweep)


def test_a_folder_in_which_nothing_has_begun_is_passed_over(tmp_path: Path) -> None:
    run_dir = begin(tmp_path, "20260101T000000-aaaaaa", JOB)
    (run_dir / "started.json").unlink()

    assert find_begun(ticket_of(tmp_path)) is None


@pytest.mark.parametrize("storage", ["", "/nowhere/at/all"])
def test_there_may_be_none(storage: str) -> None:
    assert find_begun(ticket_of(storage)) is None


def test_the_newest_run_of_the_submission_is_found_at_a_store(
    tmp_path: Path, at_store: Place
) -> None:
    keep_at(at_store, begin(tmp_path, "20260101T000000-aaaaaa", JOB))
    keep_at(at_store, begin(tmp_path, "20260102T000000-aaaaaa", JOB))
    keep_at(at_store, begin(tmp_path, "20260102T000000-aaaaaa-3", JOB, won=("a/x", 3)))
    keep_at(at_store, begin(tmp_path, "20260103T000000-aaaaaa", "distrain-a-2"))
    keep_at(at_store, begin(tmp_path, "20260104T000000-aaaaaa", JOB), (STARTED,))  # cut off

    found = find_begun(ticket_of(at_store.uri))

    assert found == at_store.below("a/20260102T000000-aaaaaa").uri


def test_there_may_be_none_at_a_store(at_store: Place) -> None:
    assert find_begun(ticket_of(at_store.uri)) is None


def test_a_store_that_is_away_begins_no_second_run(server: S3Server, at_store: Place) -> None:
    with server.being_away(), pytest.raises(StorageError) as told:
        find_begun(ticket_of(at_store.uri))

    assert told.value.exit_code == 4
