from pathlib import Path

from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import lost_ends


def test_a_segment_that_was_cut_is_told_with_its_byte(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "driver") as journal:
        journal.tags({"a": "b"})
        whole = journal.path.stat().st_size
        journal.tags({"c": "d"})
    journal_bytes = journal.path.read_bytes()
    assert lost_ends(tmp_path, {}) == {}

    journal.path.write_bytes(journal_bytes[:-5])
    assert lost_ends(tmp_path, {}) == {"driver-00001.jsonl": whole}
    journal.path.write_bytes(journal_bytes[:whole])
    assert lost_ends(tmp_path, {}) == {}
    assert lost_ends(tmp_path, {journal.path.name: whole + 9}) == {journal.path.name: whole}
