"""The page that `distrain report` writes, from the command line."""

import json
import webbrowser
from pathlib import Path

import pytest

from tests.command_line import run_in_process
from tests.reported_run import write_run

RUN = "20261130T120000-aaaaaa"


def test_a_report_is_written_opened_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_run(tmp_path / "runs" / "pets" / RUN)
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", shown.append)

    ended = run_in_process(["report", RUN, "--open"], tmp_path)

    report = run_dir / "report.html"
    assert ended.code == 0, ended.stderr
    assert ended.stdout.split() == [f"pets/{RUN}", "finished", "report", str(report)]
    assert shown == [report.as_uri()]


def test_a_report_s_json_names_run_and_file(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "pets" / RUN)

    ended = run_in_process(["report", RUN, "--out", "page.html", "--json"], tmp_path)

    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "run": f"pets/{RUN}",
        "status": "finished",
        "out": str(tmp_path / "page.html"),
    }
    assert (tmp_path / "page.html").is_file()


def test_the_last_run_has_its_report_written(tmp_path: Path) -> None:
    for run in (RUN, "20261201T120000-bbbbbb"):
        write_run(tmp_path / "runs" / "pets" / run)

    ended = run_in_process(["report", "--last"], tmp_path)

    assert ended.code == 0, ended.stderr
    assert ended.left == ["runs/pets/20261201T120000-bbbbbb/report.html"]


def test_a_report_of_no_run_is_told_how_to_name_one(tmp_path: Path) -> None:
    ended = run_in_process(["report"], tmp_path)

    assert ended.code == 2
    assert "no run was named" in ended.stderr
    assert "distrain report --last" in ended.stderr


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()

    ended = run_in_process(["report", "none"], tmp_path)

    assert ended.code == 2
    assert "there is no run 'none'" in ended.stderr
