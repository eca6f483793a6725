"""The runs that are to be shipped, and which of them are opened for it."""

import json
from pathlib import Path

import pytest

from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place
from distrain.track import sync as sync_module
from distrain.track.meant_runs import meant_runs
from distrain.track.sync import sync
from distrain.track.synced import SyncedRun
from distrain.track.watermark import Watermark
from tests.recorded_search import KEY, NAME, SWEEP, make_run
from tests.s3_server import S3Server


@pytest.fixture
def storage(server: S3Server, account: None, tmp_path: Path) -> Place:
    """Three runs: one that was shipped, one that was not, and one that was killed."""
    storage = server.place(f"kept/{tmp_path.name}")
    for run, tracking in (("r1", "complete"), ("r2", "pending"), ("r3", None)):
        files = Bucket(storage.below(f"{NAME}/{run}"))
        files.put("files/000001-000/config.yaml", b"name: adult")
        if tracking is not None:
            result = {"tracking": tracking}
            files.put("files/000001-000/result.json", json.dumps(result).encode())
    mark = tmp_path / "r1"
    mark.mkdir()
    Watermark(run_id="f" * 32).save(mark)
    shipped = Bucket(storage.below(f"{NAME}/r1"))
    shipped.put("files/000001-000/journal/shipped.json", (mark / "shipped.json").read_bytes())
    return storage


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs whose folders were opened, in order."""
    names: list[str] = []

    def note(run_dir: Path, *_: object, **__: object) -> SyncedRun:
        names.append(f"{run_dir.parent.name}/{run_dir.name}")
        assert (run_dir / "config.yaml").is_file()
        return SyncedRun(run_dir, "shipped")

    monkeypatch.setattr(sync_module, "_sync", note)
    return names


def test_of_all_runs_at_a_store_those_are_fetched_that_may_have_something_left(
    storage: Place, opened: list[str]
) -> None:
    done = sync([], Path(storage.uri)).runs

    assert opened == [f"{NAME}/r2", f"{NAME}/r3"]
    assert [run.outcome for run in done] == ["nothing", "shipped", "shipped"]
    assert done[0].run_id == "f" * 32
    told = [run.to_json()["run_dir"] for run in done]
    assert told == [storage.below(f"{NAME}/{run}").uri for run in ("r1", "r2", "r3")]


def test_one_that_is_named_is_looked_at_in_any_case(storage: Place, opened: list[str]) -> None:
    sync(["r1", storage.below(f"{NAME}/r3").uri], Path(storage.uri))

    assert opened == [f"{NAME}/r1", f"{NAME}/r3"]


def test_folders_and_runs_at_a_store_may_be_named_together(storage: Place, tmp_path: Path) -> None:
    winner = make_run(tmp_path / "runs", f"{SWEEP}-0003", [KEY, 3])
    search = make_run(tmp_path / "runs", SWEEP)
    at_store = storage.below(f"{NAME}/r2").uri

    with meant_runs([str(winner), at_store, str(search)], tmp_path / "runs") as runs:
        found = [(run.summary.name, run.uri) for run in runs]

    assert found == [(SWEEP, None), ("r2", at_store), (f"{SWEEP}-0003", None)]


def test_a_store_that_is_away_meanwhile_leaves_its_runs_pending(
    storage: Place, server: S3Server, opened: list[str]
) -> None:
    with meant_runs([], Path(storage.uri)) as runs, server.being_away():
        done = [
            sync_module._sync_meant(run, sync_module.Stores(), print, is_named=False)
            for run in runs
        ]

    assert opened == []
    assert [run.outcome for run in done] == ["nothing", "pending", "pending"]
    assert "the store does not answer" in str(done[1].error)
    assert sync_module.SyncResult(tuple(done)).exit_code == 4
