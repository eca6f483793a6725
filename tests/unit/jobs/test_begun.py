"""The run that a submission has begun before."""

from dataclasses import replace
from pathlib import Path

import pytest

from distrain.jobs.begun import find_begun
from distrain.jobs.ticket import Ticket
from distrain.run_folder import CONFIG
from distrain.stored_run import Started

JOB = "distrain-a-1"


def begin(storage: Path, run: str, job_id: str | None, won: tuple[str, int] | None = None) -> Path:
    run_dir = storage / "a" / run
    run_dir.mkdir(parents=True)
    (run_dir / CONFIG).write_text("{}", encoding="utf-8")
    tags = {} if job_id is None else {"distrain.job": job_id}
    started = Started([], "d", [], {}, tags)
    replace(started, won=won).save(run_dir)
    return run_dir


def ticket_of(storage: Path) -> Ticket:
    return Ticket(JOB, "", {}, [], runs=f"{storage}/a")


def test_the_newest_run_of_the_submission_is_found(tmp_path: Path) -> None:
    begin(tmp_path, "20260101T000000-aaaaaa", JOB)
    newest = begin(tmp_path, "20260102T000000-aaaaaa", JOB)
    begin(tmp_path, "20260103T000000-aaaaaa", "distrain-a-2")
    begin(tmp_path, "20260104T000000-aaaaaa", None)

    assert find_begun(ticket_of(tmp_path)) == newest


def test_a_search_goes_on_rather_than_what_won_it(tmp_path: Path) -> None:
    sweep = begin(tmp_path, "20260101T000000-aaaaaa", JOB)
    begin(tmp_path, "20260101T000000-aaaaaa-3", JOB, won=("a/20260101T000000-aaaaaa", 3))

    assert find_begun(ticket_of(tmp_path)) == sweep


def test_a_folder_in_which_nothing_has_begun_is_passed_over(tmp_path: Path) -> None:
    run_dir = begin(tmp_path, "20260101T000000-aaaaaa", JOB)
    (run_dir / "started.json").unlink()

    assert find_begun(ticket_of(tmp_path)) is None


@pytest.mark.parametrize("runs", ["", "/nowhere/at/all"])
def test_there_may_be_none(runs: str) -> None:
    assert find_begun(Ticket(JOB, "", {}, [], runs=runs)) is None
