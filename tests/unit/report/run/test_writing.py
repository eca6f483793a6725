"""The report of a run that ends, and the one that is asked for."""

import json
from html import escape
from pathlib import Path

import pytest

from distrain.display import Display
from distrain.errors import ConfigError
from distrain.object_store.bucket import Bucket
from distrain.report import asked
from distrain.report.run import writing
from distrain.stored_run import read_result
from distrain.track.journal import JournalWriter
from tests.reported_run import ASSESSMENT, RESULT, write_run
from tests.s3_server import S3Server


class Notes(Display):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_report_that_fails_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_run(tmp_path / "pets" / "r")
    (run_dir / "logs").mkdir()
    notes, kept = Notes(), []
    result = read_result(run_dir)
    assert result is not None

    def broken(_: object) -> str:
        raise ZeroDivisionError("no figures")

    monkeypatch.setattr(writing, "run_page", broken)
    writing.report_at_end(run_dir, result, notes, kept.append)

    assert notes.texts[0] == "report.html is not written (ZeroDivisionError: no figures)"
    assert "`distrain report` writes it anew" in notes.texts[1]
    assert "ZeroDivisionError" in (run_dir / "logs" / "report.txt").read_text()
    assert kept == []


def test_a_report_is_written_and_kept_before_the_result_is(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "pets" / "r")
    result = read_result(run_dir)
    assert result is not None
    (run_dir / "result.json").unlink()
    notes, kept = Notes(), []

    writing.report_at_end(run_dir, result, notes, kept.append)

    assert notes.texts == []
    assert kept == [run_dir / "report.html"]
    assert "Finished" in (run_dir / "report.html").read_text(encoding="utf-8")


def test_a_report_that_is_asked_for_lies_in_the_run_s_folder_or_elsewhere(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "pets" / "20261130T120000-aaaaaa")

    result = asked.write_report("20261130T120000-aaaaaa", tmp_path, None)
    other = asked.write_report(str(run_dir), tmp_path, tmp_path / "other.html")

    assert result.to_json() == {
        "run": "pets/20261130T120000-aaaaaa",
        "status": RESULT["status"],
        "out": str(run_dir / "report.html"),
    }
    assert json.dumps(result.to_json())
    assert other.out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_report_of_a_run_at_a_store_lies_where_the_command_is_given(
    tmp_path: Path, account: None, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_dir = write_run(tmp_path / "pets" / "20261130T120000-aaaaaa")
    at_store = server.place(f"reported/{tmp_path.name}/pets/{run_dir.name}")
    for path in ("config.yaml", "started.json", "result.json"):
        Bucket(at_store).put(f"files/000001-000/{path}", (run_dir / path).read_bytes())

    result = asked.write_report(at_store.uri, Path("runs"), None)

    assert result.out == tmp_path / "report.html"
    assert result.run == f"pets/{run_dir.name}"
    page = result.out.read_text(encoding="utf-8")
    assert "Finished" in page
    assert f"<code>{escape(at_store.uri)}</code>" in page


def test_half_a_pair_of_a_letter_is_no_reason_to_have_no_report(tmp_path: Path) -> None:
    run_dir = write_run(
        tmp_path / "pets" / "r", assessment={**ASSESSMENT, "classes": ["\ud800", "dog"]}
    )

    writing.write_run_report(run_dir, tmp_path / "r.html")

    assert "Finished" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_record_with_other_fields_is_told_in_words(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "pets" / "20261130T120000-aaaaaa")
    with JournalWriter(run_dir / "journal", "attempts") as attempts:
        attempts.tags({"distrain.workers_by_attempt": "2,many"})

    with pytest.raises(ConfigError, match=r"recorded has other fields \(ValueError: .*many"):
        asked.write_report(run_dir.name, tmp_path, None)


def test_a_place_that_takes_no_file_is_refused_in_words(tmp_path: Path) -> None:
    write_run(tmp_path / "pets" / "20261130T120000-aaaaaa")

    with pytest.raises(ConfigError, match=r"no file in a folder that is there.*--out FILE"):
        asked.write_report("20261130T120000-aaaaaa", tmp_path, tmp_path / "none" / "r.html")
