from pathlib import Path

from distrain.track.delivery import has_unsent, models_to_register
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import JournalRecord, list_segments, read_journal
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
