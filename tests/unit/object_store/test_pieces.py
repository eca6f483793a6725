import threading
import time
from pathlib import Path

import pytest

from distrain.object_store import claims
from distrain.object_store.link import Link
from distrain.object_store.pieces import put_lines, take_in
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import missing_records, read_journal
from tests.s3_server import S3Server
from tests.unit.object_store.conftest import NewLink


def driver_of(new_link: NewLink, name: str, fence: int) -> Link:
    link = new_link(name)
    claims.claim(link, fence, name.encode())
    return link


def notes(link: Link) -> list[str]:
    records, _ = read_journal(link.folder / "journal", {})
    return [record.payload["text"] for record in records]


def test_what_was_synced_is_there_on_another_host(new_link: NewLink) -> None:
    first = driver_of(new_link, "first", 1)
    writer = JournalWriter(first.folder / "journal", "driver")
    writer.note("one")
    writer.sync()
    writer.note("two")
    writer.sync()
    writer.note("never synced")

    second = driver_of(new_link, "second", 2)
    with JournalWriter(second.folder / "journal", "driver") as journal:
        journal.note("three")

    assert notes(second) == ["one", "two", "three"]
    assert missing_records(second.folder / "journal") == {}
    assert second.durable.keys() == {"driver-00001.jsonl", "driver-00002.jsonl"}


def test_who_was_taken_over_adds_nothing_to_the_record(new_link: NewLink) -> None:
    first = driver_of(new_link, "first", 1)
    writer = JournalWriter(first.folder / "journal", "driver")
    writer.note("one")
    writer.sync()
    second = driver_of(new_link, "second", 2)
    writer.note("late")
    writer.sync()
    with JournalWriter(second.folder / "journal", "driver") as journal:
        journal.note("two")

    third = driver_of(new_link, "third", 3)

    assert notes(third) == ["one", "two"]
    assert missing_records(third.folder / "journal") == {}


def test_a_line_that_is_not_whole_is_not_put(new_link: NewLink) -> None:
    link = driver_of(new_link, "first", 1)
    segment = link.folder / "journal" / "driver-00001.jsonl"
    segment.parent.mkdir()
    segment.write_bytes(b"whole\nhalf")

    put_lines(link, segment)
    segment.write_bytes(b"whole\nhalf a line\n")
    put_lines(link, segment)

    names = [entry.name for entry in link.run.entries("journal/")]
    assert [link.run.get(name) for name in names] == [b"whole\n", b"half a line\n"]


def test_pieces_that_overlap_give_the_segment_that_was_written(new_link: NewLink) -> None:
    link, content = driver_of(new_link, "first", 1), b"one\ntwo\nthree\n"
    segment = link.folder / "journal" / "rank0-00001.jsonl"
    segment.parent.mkdir()
    for end, start in ((8, 0), (len(content), 4), (len(content), 8)):
        segment.write_bytes(content[:end])
        link.durable[segment.name] = start
        put_lines(link, segment)

    second = driver_of(new_link, "second", 2)

    assert (second.folder / "journal" / segment.name).read_bytes() == content


def test_what_lies_behind_a_gap_is_not_there_yet(new_link: NewLink) -> None:
    link = driver_of(new_link, "first", 1)
    segment = link.folder / "journal" / "rank0-00001.jsonl"
    segment.parent.mkdir()
    segment.write_bytes(b"one\ntwo\n")
    link.durable[segment.name] = 4
    put_lines(link, segment)

    second = driver_of(new_link, "second", 2)

    assert second.durable == {segment.name: 0}
    assert not (second.folder / "journal" / segment.name).exists()


def test_a_piece_that_is_not_what_was_written_is_refused(new_link: NewLink) -> None:
    link = driver_of(new_link, "first", 1)
    link.run.put("journal/000001-000/rank0-00001.jsonl/000000000000-4-00000000", b"one\n")

    with pytest.raises(OSError, match="is not what was written"):
        take_in(link)


def test_a_sync_fails_while_the_store_is_away_and_nothing_is_lost(
    new_link: NewLink, server: S3Server
) -> None:
    link = driver_of(new_link, "first", 1)
    writer = JournalWriter(link.folder / "journal", "driver")
    writer.note("one")

    with server.being_away(), pytest.raises(OSError, match="SlowDown"):
        writer.sync()
    writer.sync()

    assert notes(driver_of(new_link, "second", 2)) == ["one"]


def test_a_record_is_closed_once_the_store_is_back(new_link: NewLink, server: S3Server) -> None:
    link = driver_of(new_link, "first", 1)
    link.patience_s = 30.0
    writer = JournalWriter(link.folder / "journal", "driver")
    writer.note("one")

    with server.being_away():
        closing = threading.Thread(target=writer.close)
        closing.start()
        time.sleep(0.3)
    closing.join()
    writer.close()

    assert notes(driver_of(new_link, "second", 2)) == ["one"]


def test_a_reader_is_shown_no_more_than_it_may_see(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "driver") as writer:
        writer.note("one")
        first = writer.path.stat().st_size
        writer.note("two")

    records, reached = read_journal(tmp_path, {}, limits={writer.path.name: first})
    rest, _ = read_journal(tmp_path, reached, limits={writer.path.name: 10 * first})
    nothing, _ = read_journal(tmp_path, {}, limits={})

    assert [record.payload["text"] for record in records] == ["one"]
    assert [record.payload["text"] for record in rest] == ["two"]
    assert nothing == []
