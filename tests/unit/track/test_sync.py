from pathlib import Path

import pytest

from distrain.track import sync as sync_module
from distrain.track.journal_reading import DRIVER, written_by
from distrain.track.links import NOTE_TAG
from distrain.track.sync import ship_waiting, sync
from distrain.track.synced import SyncedRun
from tests.recorded_search import KEY, SWEEP, RecordedSearch, make_run


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs whose journals are shipped, in order."""
    names: list[str] = []

    def note(run_dir: Path, *_: object, **__: object) -> SyncedRun:
        names.append(run_dir.name)
        return SyncedRun(run_dir, "shipped")

    monkeypatch.setattr(sync_module, "_sync", note)
    monkeypatch.setattr(sync_module, "is_unshipped", lambda _: True)
    return names


def test_a_search_is_shipped_before_its_winner(tmp_path: Path, shipped: list[str]) -> None:
    winner = make_run(tmp_path, f"{SWEEP}-0003", [KEY, 3])
    search = make_run(tmp_path, SWEEP)

    sync([], tmp_path)
    sync([str(winner), str(search)], tmp_path)
    ship_waiting(tmp_path)

    assert shipped == 3 * [SWEEP, f"{SWEEP}-0003"]


def test_a_search_whose_driver_was_killed_is_described_as_that(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, SWEEP)
    with RecordedSearch(run_dir / "journal") as search:
        search.driver.tags({NOTE_TAG: "### Searching"})

    assert sync_module._close_if_open(run_dir)

    tags: dict[str, str] = {}
    for record in written_by(DRIVER, run_dir / "journal"):
        tags |= record.payload if record.kind == "tags" else {}
    assert tags["distrain.outcome"] == "killed"
    assert tags[NOTE_TAG].startswith("### Cut off")
