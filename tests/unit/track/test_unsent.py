from pathlib import Path

from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import list_segments
from distrain.track.unsent import has_unsent, is_unshipped
from distrain.track.watermark import Watermark
from tests.recorded_search import RecordedSearch


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


def test_a_trial_that_was_not_told_its_data_is_something_to_send(tmp_path: Path) -> None:
    assert not has_unsent(tmp_path, Watermark())
    assert has_unsent(tmp_path, Watermark(without_data=[3]))


def test_only_who_names_a_search_sends_what_deleted_trials_runs_were_not_told(
    tmp_path: Path,
) -> None:
    with RecordedSearch(tmp_path / "journal") as search:
        search.driver.status("FINISHED")
    reached = {path.name: path.stat().st_size for path in search.folder.iterdir()}
    Watermark(reached=reached, status="FINISHED", left_deleted=["id1"]).save(search.folder)

    assert not is_unshipped(tmp_path)
    assert is_unshipped(tmp_path, is_named=True)
