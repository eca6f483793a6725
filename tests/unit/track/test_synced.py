import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from distrain import lease
from distrain.object_store.place import Place
from distrain.object_store.work_link import driver_folder, reading_folder
from distrain.run_folder import write_result
from distrain.track.journal import JournalWriter
from distrain.track.model_versions import RegisteredVersion
from distrain.track.sync import sync
from distrain.track.synced import SyncedRun, update_result
from distrain.track.watermark import Watermark
from tests.recorded_search import KEY, NAME, SWEEP, RecordedSearch, make_run
from tests.s3_server import S3Server

MODEL = RegisteredVersion("adult", "1", "champion")


def record_search(storage: Path, winner_tracking: str, *, is_shipped: bool = True) -> Path:
    """Leave a search that was made offline, and its winner; return the search's folder."""
    run_dir = make_run(storage, SWEEP)
    with RecordedSearch(run_dir / "journal") as search:
        search.driver.status("FINISHED")
    if is_shipped:
        reached = {path.name: path.stat().st_size for path in search.folder.iterdir()}
        Watermark(reached=reached, status="FINISHED").save(search.folder)
    best = {"trial": 3, "run_id": None, "config": {}, "metrics": {}}
    result = {"run_id": "s", "tracking": "pending", "model": None, "best": best}
    (run_dir / "result.json").write_text(json.dumps(result))
    winner = make_run(storage, f"{SWEEP}-0003", [KEY, 3])
    model = asdict(MODEL) if winner_tracking == "complete" else None
    result = {"run_id": None, "tracking": winner_tracking, "model": model, "best": None}
    (winner / "result.json").write_text(json.dumps(result))
    return run_dir


def read_result(run_dir: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    return fields


@pytest.mark.parametrize("winner_tracking", ["pending", "complete"])
def test_a_search_is_whole_once_its_winner_is(tmp_path: Path, winner_tracking: str) -> None:
    run_dir = record_search(tmp_path, winner_tracking)

    update_result(SyncedRun(run_dir, "shipped", run_id="s"), {3: "c"})

    result = read_result(run_dir)
    assert (result["tracking"], result["best"]["run_id"]) == (winner_tracking, "c")
    assert (result["model"] is None) == (winner_tracking == "pending")


@pytest.mark.parametrize("is_shipped", [True, False])
def test_a_winner_that_is_shipped_tells_its_search(tmp_path: Path, is_shipped: bool) -> None:
    run_dir = record_search(tmp_path, "pending", is_shipped=is_shipped)
    winner = run_dir.with_name(f"{SWEEP}-0003")

    update_result(SyncedRun(winner, "shipped", run_id="c", model=MODEL), {})

    result = read_result(run_dir)
    assert result["model"] == read_result(winner)["model"] == asdict(MODEL)
    assert (result["run_id"], result["best"]["run_id"]) == ("s", "c")
    assert result["tracking"] == ("complete" if is_shipped else "pending")
    assert lease.is_free(run_dir)


def test_a_search_that_was_not_told_of_its_winner_is_told_by_the_next_sync(tmp_path: Path) -> None:
    run_dir = record_search(tmp_path, "complete")
    with JournalWriter(run_dir / "journal", "driver") as journal:
        journal.run({"experiment": "adult", "key": KEY, "name": SWEEP, "tags": {}})
    reached = {path.name: path.stat().st_size for path in (run_dir / "journal").glob("*.jsonl")}
    Watermark(reached=reached, status="FINISHED").save(run_dir / "journal")

    [told] = sync([str(run_dir)], tmp_path).runs

    assert told.outcome == "nothing"
    result = read_result(run_dir)
    assert (result["tracking"], result["model"]) == ("complete", asdict(MODEL))


def test_the_result_of_a_search_that_goes_on_is_its_driver_s_to_write(tmp_path: Path) -> None:
    run_dir = record_search(tmp_path, "pending")
    winner = run_dir.with_name(f"{SWEEP}-0003")
    before = (run_dir / "result.json").read_text()

    with lease.holding(run_dir, lambda _: None):
        update_result(SyncedRun(winner, "shipped", run_id="c", model=MODEL), {})

    assert (run_dir / "result.json").read_text() == before


@contextmanager
def held(place: Place, *, is_new: bool = False) -> Iterator[Path]:
    """Give the folder of a run at a store to who holds its lease."""
    with driver_folder(place, is_new=is_new) as run_dir, lease.holding(run_dir, lambda _: None):
        yield run_dir


def put_run(place: Place, won: list[Any] | None, result: Mapping[str, Any]) -> None:
    """Leave a run at a store, without anything that is still to be shipped."""
    with held(place, is_new=True) as run_dir:
        (run_dir / "config.yaml").write_text("name: adult\n")
        (run_dir / "started.json").write_text(json.dumps({"won": won}))
        with RecordedSearch(run_dir / "journal") as search:
            search.driver.status("FINISHED")
        reached = {path.name: path.stat().st_size for path in search.folder.glob("*.jsonl")}
        Watermark(reached=reached, status="FINISHED").save(search.folder)
        write_result(run_dir, result)


@pytest.mark.usefixtures("account")
def test_at_a_store_too_a_winner_that_is_shipped_tells_its_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: S3Server
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = server.place(f"told/{NAME}/{SWEEP}")
    winner = place.parent.below(f"{SWEEP}-0003")
    best = {"trial": 3, "run_id": None, "config": {}, "metrics": {}}
    pending = {"run_id": None, "tracking": "pending", "model": None}
    put_run(place, None, {**pending, "best": best})
    put_run(winner, [KEY, 3], pending)

    with held(place) as run_dir:
        update_result(SyncedRun(run_dir, "shipped", run_id="s"), {3: "c"})
        assert read_result(run_dir)["tracking"] == "pending"  # as the winner's is
    with held(winner) as run_dir:
        update_result(SyncedRun(run_dir, "shipped", run_id="c", model=MODEL), {})

    with reading_folder(place) as run_dir:
        result = read_result(run_dir)
    assert (result["tracking"], result["model"]) == ("complete", asdict(MODEL))
    assert (result["run_id"], result["best"]["run_id"]) == ("s", "c")
