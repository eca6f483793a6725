"""Names on a command line lead to what they name or are refused, and nothing is written."""

from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.track.runs import find_run_dir, list_runs
from tests.command_line import run_in_process

STARTED = '{"import_paths": 5, "dataset_digest": "", "files": [], "shapes": {}, "tags": {}}'


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    run_dir = tmp_path / "runs" / "people" / "20261121T072929-bcf101"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("data: {source: a.csv, target: y}\n")
    return tmp_path / "runs"


ELSEWHERE = {
    "a folder above": "../x",
    "a whole path": "/etc",
    "encoded": "%2e%2e%2fx",
    "a home": "~root",
    "two lines": "a\nb",
    "very long": "a" * 5000,
    "a zero": "a\0b",
    "nothing": "",
}


@pytest.mark.parametrize("name", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_name_of_no_run_is_refused(storage: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="there is no run"):
        find_run_dir(name, storage)


COMMANDS = (
    ("resume", "NAME"),
    ("why", "NAME", "1"),
    ("replay", "NAME", "tune.scheduler=sha"),
    ("reproduce", "NAME"),
    ("predict", "NAME", "--data", "a.csv", "--out", "o.csv"),
    ("evaluate", "NAME", "--data", "a.csv"),
    ("promote", "models:/people/1", "--alias", "NAME"),
    ("promote", "models:/NAME/1", "--alias", "champion"),
    ("job", "status", "NAME", "--address", "http://127.0.0.1:1"),
)


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["../x", "/etc/x", "%2e%2e%2fx", "a" * 5000, "a\nb"])
def test_a_command_writes_nothing_by_a_name_that_leads_elsewhere(
    tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    ended = run_in_process([word.replace("NAME", name) for word in words], tmp_path)

    assert ended.code == (4 if "job" in words else 2), ended.stderr
    assert ended.stderr.startswith("error: ")
    assert "please report" not in ended.stderr
    assert ended.left == []


RESULTS = {
    "nested without end": "[" * 100_000,
    "a list": "[]",
    "fields of other kinds": '{"best": 5, "metrics": [], "model": "x", "step": "y", "status": 3}',
    "metrics of other kinds": '{"metrics": {"a": [], "b": "x"}, "best": {"metrics": 3}}',
}


@pytest.mark.parametrize("text", RESULTS.values(), ids=RESULTS)
def test_a_forged_result_spoils_no_listing(storage: Path, text: str) -> None:
    (run_dir,) = storage.glob("*/*")
    (run_dir / "result.json").write_text(text)
    (run_dir / "started.json").write_text(text)

    (run,) = list_runs(storage)
    shown = run_in_process(["runs"], storage.parent)

    assert (run.status, run.metrics, run.model, run.step) == ("unfinished", {}, None, None)
    assert shown.code == 0, shown.stderr


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("text", [*RESULTS.values(), STARTED, "{}"])
def test_what_a_run_was_forged_to_start_with_is_refused(storage: Path, text: str) -> None:
    (run_dir,) = storage.glob("*/*")
    (run_dir / "started.json").write_text(text)

    ended = run_in_process(["resume", str(run_dir)], storage.parent)

    assert ended.code == 2
    assert "what the run was started with cannot be read" in ended.stderr
