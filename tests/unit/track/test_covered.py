"""What of a journal waits for a checkpoint, where steps can come out differently."""

from pathlib import Path

import pytest

from distrain.track.covered import Waiting, pass_on
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import JournalRecord, read_journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def attempt(folder: Path, start: int, *steps: int, is_exact: bool = False) -> JournalWriter:
    writer = JournalWriter(folder, "rank0")
    writer.start(start, is_exact=is_exact, every_steps=1)
    for step in steps:
        writer.metrics(step, {"loss": 1.0})
    return writer


def passed(folder: Path, waiting: Waiting | None = None) -> tuple[list[int], Waiting]:
    """Return the steps whose metrics may be shipped, after all has been read once."""
    records, _ = read_journal(folder, {})
    found, left = pass_on(records, waiting or Waiting())
    return steps_of(found), left


def steps_of(records: list[JournalRecord]) -> list[int]:
    return [record.payload["step"] for record in records if record.kind == "metrics"]


def test_steps_wait_for_a_checkpoint_that_covers_them(folder: Path) -> None:
    writer = attempt(folder, 0, 1, 2, 3)
    assert passed(folder)[0] == []

    writer.checkpoint(2)

    steps, waiting = passed(folder)
    assert steps == [1, 2]
    assert steps_of(list(waiting.metrics)) == [3]


def test_what_a_resume_goes_back_behind_is_left_out(folder: Path) -> None:
    attempt(folder, 0, 1, 2, 3, 4)
    attempt(folder, 2, 3).checkpoint(3)

    steps, waiting = passed(folder)

    assert steps == [1, 2, 3]
    assert waiting.metrics == ()


def test_a_worker_that_was_taken_for_lost_is_not_listened_to(folder: Path) -> None:
    stale = attempt(folder, 0, 1, 2)
    own = attempt(folder, 2, 3)
    first, positions = read_journal(folder, {})
    steps, waiting = pass_on(first, Waiting())
    stale.metrics(3, {"loss": 9.0})
    own.checkpoint(3)

    later, _ = read_journal(folder, positions)

    assert steps_of(steps) == [1, 2]
    assert [r.payload["values"] for r in pass_on(later, waiting)[0] if r.kind == "metrics"] == [
        {"loss": 1.0}
    ]


def test_what_is_measured_after_the_last_checkpoint_of_its_step_is_passed_at_once(
    folder: Path,
) -> None:
    writer = attempt(folder, 0, 1, 2)
    writer.checkpoint(2)
    first, positions = read_journal(folder, {})
    _, waiting = pass_on(first, Waiting())
    writer.metrics(2, {"test/accuracy": 0.9})
    writer.metrics(3, {"loss": 1.0})

    later, _ = read_journal(folder, positions)
    found, left = pass_on(later, waiting)

    assert steps_of(found) == [2]
    assert steps_of(list(left.metrics)) == [3]


@pytest.mark.parametrize(("status", "expected"), [("FINISHED", [1, 2]), ("FAILED", [])])
def test_the_rest_is_for_the_end_of_a_run_that_will_not_go_on(
    folder: Path, status: str, expected: list[int]
) -> None:
    attempt(folder, 0, 1, 2)
    with JournalWriter(folder, "driver") as driver:
        driver.status(status)

    steps, waiting = passed(folder)

    assert steps == []
    assert steps_of(pass_on([], waiting)[0]) == expected


def test_exact_steps_and_the_driver_s_own_wait_for_nothing(folder: Path) -> None:
    attempt(folder, 0, 1, is_exact=True)
    with JournalWriter(folder, "driver") as driver:
        driver.metrics(2, {"samples_per_second": 3.0})

    assert passed(folder)[0] == [2, 1]


def test_another_process_reads_again_what_waits_and_why(folder: Path) -> None:
    old = attempt(folder, 0, 1)
    new = attempt(folder, 1, 2)
    records, positions = read_journal(folder, {})
    _, waiting = pass_on(records, Waiting())

    assert list(waiting.to_reread(positions)) == [old.path.name]
    assert waiting.segment == new.path.name
