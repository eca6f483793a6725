from pathlib import Path

from distrain.track.closing import models_to_register
from distrain.track.delivery import has_unsent
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import (
    JournalRecord,
    list_segments,
    lost_ends,
    read_journal,
)
from distrain.track.sending import files_below
from distrain.track.watermark import Watermark


def records_of(folder: Path) -> list[JournalRecord]:
    return read_journal(folder, {})[0]


def test_what_was_packaged_before_a_run_goes_on_is_void(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with JournalWriter(folder, "driver") as journal:
        journal.model(tmp_path / "model", {"name": "m", "key": "first"}, None)
        journal.status("FINISHED")
        assert [m["facts"]["key"] for m in models_to_register(records_of(folder), [])] == ["first"]
        journal.status("RUNNING")
        journal.model(tmp_path / "model", {"name": "m", "key": "second"}, "champion")

    (model,) = models_to_register(records_of(folder), [])

    assert (model["path"], model["alias"]) == ("model", "champion")
    assert model["facts"]["key"] == "second"


def test_a_torn_end_is_nothing_to_send(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "driver") as journal:
        journal.tags({"a": "b"})
    (segment,) = list_segments(tmp_path)
    read = Watermark(reached={segment.name: segment.stat().st_size})
    assert has_unsent(tmp_path, Watermark())
    assert not has_unsent(tmp_path, read)

    with segment.open("a", encoding="utf-8") as torn:
        torn.write('{"crc32":"0')
    assert not has_unsent(tmp_path, read)

    read.artifacts = [("config.yaml", "")]
    assert has_unsent(tmp_path, read)


def test_a_path_in_the_run_s_folder_is_recorded_from_there(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "run" / "journal", "driver") as journal:
        journal.artifact(tmp_path / "run" / "profile", "profile")
        journal.artifact(tmp_path / "elsewhere.txt")

    places = [record.payload["path"] for record in records_of(tmp_path / "run" / "journal")]
    assert places == ["profile", str(tmp_path / "elsewhere.txt")]


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


def test_a_folder_s_files_each_have_their_place(tmp_path: Path) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    at_root = [place for _, place in files_below(tmp_path)]
    assert at_root == ["", "sub", "sub/deep"]
    assert [place for _, place in files_below(tmp_path, "kept")] == [
        "kept",
        "kept/sub",
        "kept/sub/deep",
    ]
