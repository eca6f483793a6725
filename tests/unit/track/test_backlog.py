"""How many records of a journal wait to be sent."""

from pathlib import Path

from distrain.track.backlog import Backlog
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import read_journal


def write(folder: Path, writer: str, count: int) -> None:
    with JournalWriter(folder, writer) as journal:
        for step in range(count):
            journal.metrics(step, {"train/loss": 1.0})


def test_what_is_written_and_not_sent_is_counted_over_all_writers(tmp_path: Path) -> None:
    reached: dict[str, int] = {}
    backlog = Backlog(tmp_path, lambda: reached)
    write(tmp_path, "driver", 2)
    write(tmp_path, "rank0", 3)
    before = backlog.count()
    records, reached = read_journal(tmp_path, {})
    sent = backlog.count()
    write(tmp_path, "rank0", 4)

    assert (before, len(records), sent, backlog.count()) == (5, 5, 0, 4)


def test_a_line_without_its_end_is_no_record(tmp_path: Path) -> None:
    write(tmp_path, "rank0", 3)
    (path,) = tmp_path.glob("rank0-*.jsonl")
    path.write_bytes(path.read_bytes()[:-1])

    assert Backlog(tmp_path, dict).count() == 2


def test_what_is_sent_anew_to_another_store_waits_again(tmp_path: Path) -> None:
    write(tmp_path, "rank0", 3)
    _, reached = read_journal(tmp_path, {})
    backlog = Backlog(tmp_path, lambda: reached)
    none_left = backlog.count()
    reached = {}

    assert (none_left, backlog.count()) == (0, 3)


def test_each_byte_is_read_once_for_what_is_written_and_once_for_what_is_sent(
    tmp_path: Path,
) -> None:
    write(tmp_path, "rank0", 3)
    backlog = Backlog(tmp_path, dict)
    backlog.count()
    (path,) = tmp_path.glob("rank0-*.jsonl")
    path.write_bytes(b"x" * path.stat().st_size)  # read again, it would have no lines

    assert backlog.count() == 3


def test_a_journal_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert Backlog(tmp_path / "journal", dict).count() == 0
