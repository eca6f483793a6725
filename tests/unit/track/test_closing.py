from pathlib import Path

from distrain.track.closing import models_to_register
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import JournalRecord, read_journal


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
