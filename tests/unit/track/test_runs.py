import json
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import ConfigError
from distrain.object_store.bucket import Bucket
from distrain.report.fitting import FitTable
from distrain.report.runs_table import runs_table
from distrain.track.runs import find_run_dir, list_runs, opened_run
from distrain.track.watermark import Watermark
from tests.s3_server import S3Server


def make_run(storage: Path, name: str, run: str, result: dict[str, Any] | None = None) -> Path:
    run_dir = storage / name / run
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text(f"name: {name}\n")
    if result is not None:
        (run_dir / "result.json").write_text(json.dumps(result))
    return run_dir


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    result = {
        "status": "finished",
        "run_id": "abc",
        "step": 30,
        "metrics": {"test/accuracy": 0.9, "test/loss": None},
        "model": {"name": "adult", "version": "1", "alias": None},
        "weights_sha256": "ff",
    }
    make_run(tmp_path, "adult", "20250101T120000-aaaaaa", result)
    make_run(tmp_path, "digits", "20250102T120000-bbbbbb")
    (tmp_path / "prepared" / "0123").mkdir(parents=True)
    (tmp_path / "mlflow.db").touch()

    newest, oldest = list_runs(tmp_path)

    assert (newest.name, newest.status, newest.metrics) == ("digits", "unfinished", {})
    assert newest.started == "2025-01-02T12:00:00+00:00"
    assert oldest.run == "20250101T120000-aaaaaa"
    assert oldest.metrics == {"test/accuracy": 0.9, "test/loss": None}
    assert (oldest.run_id, oldest.step, oldest.weights_sha256) == ("abc", 30, "ff")
    assert json.loads(json.dumps(oldest.to_json()))["model"]["version"] == "1"


def test_a_run_is_opened_wherever_it_is_kept(
    tmp_path: Path, server: S3Server, account: None
) -> None:
    run_dir = make_run(tmp_path, "adult", "20250101T120000-aaaaaa")
    storage = server.place(f"opened/{tmp_path.name}")
    at_store = storage.below("adult/20250101T120000-aaaaaa")
    Bucket(at_store).put("files/000001-000/config.yaml", b"name: kept")

    with opened_run(run_dir.name, tmp_path) as opened:
        assert opened == run_dir
    with opened_run(at_store.name, Path(storage.uri)) as opened:
        assert (opened / "config.yaml").read_text() == "name: kept"
        assert (opened.parent.name, opened.name) == ("adult", at_store.name)
    assert not opened.exists()


def test_a_torn_result_counts_as_unfinished(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, "adult", "20250101T120000-aaaaaa")
    (run_dir / "result.json").write_text('{"status": "fin')
    assert [run.status for run in list_runs(tmp_path)] == ["unfinished"]


@pytest.mark.parametrize("name", ["mine", "20269999T000000-aaaaaa"])
def test_a_run_of_another_name_is_dated_by_its_file(tmp_path: Path, name: str) -> None:
    make_run(tmp_path, "adult", name)
    assert list_runs(tmp_path)[0].started.startswith("20")


def test_a_missing_storage_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        list_runs(tmp_path / "none")


def test_a_run_is_found_by_path_name_or_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path / "runs", "adult", "20250101T120000-aaaaaa")
    monkeypatch.chdir(tmp_path)
    for reference in (
        str(run_dir),
        "runs/adult/20250101T120000-aaaaaa",
        "./runs/adult/20250101T120000-aaaaaa/",
        "adult/20250101T120000-aaaaaa",
        "20250101T120000-aaaaaa",
    ):
        assert find_run_dir(reference, tmp_path / "runs") == run_dir


def test_a_run_is_found_by_its_id_at_mlflow(tmp_path: Path) -> None:
    make_run(tmp_path, "adult", "20250102T120000-bbbbbb")
    run_dir = make_run(tmp_path, "adult", "20250101T120000-aaaaaa")
    (run_dir / "journal").mkdir()
    Watermark(run_id="0123456789abcdef" * 2).save(run_dir / "journal")

    assert find_run_dir("0123456789abcdef" * 2, tmp_path) == run_dir
    with pytest.raises(ConfigError, match="no run 'ffff"):
        find_run_dir("f" * 32, tmp_path)


def test_a_run_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    make_run(tmp_path, "adult", "20250101T120000-aaaaaa")
    with pytest.raises(ConfigError, match="Did you mean '20250101T120000-aaaaaa'"):
        find_run_dir("20250101T120000-aaaaab", tmp_path)
    with pytest.raises(ConfigError, match="no run 'x'"):
        find_run_dir("x", tmp_path / "none")


@pytest.mark.parametrize("reference", ["x" * 300, "a/" + "x" * 300, "a**b", "[", "adult/x*"])
def test_what_no_run_can_be_called_is_told_as_no_run(reference: str, tmp_path: Path) -> None:
    make_run(tmp_path, "adult", "20250101T120000-aaaaaa")
    with pytest.raises(ConfigError, match="there is no run"):
        find_run_dir(reference, tmp_path)


def test_a_run_that_makes_another_again_is_listed_as_that(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, "adult", "20250101T120000-aaaaaa", {"status": "finished"})
    (run_dir / "started.json").write_text('{"reproduces": "abc"}')

    [run] = list_runs(tmp_path)

    assert run.to_json()["reproduces"] == "abc"
    table = runs_table([run], tmp_path)
    assert isinstance(table, FitTable)
    assert "finished (made again)" in table.lines(None)[1].plain
