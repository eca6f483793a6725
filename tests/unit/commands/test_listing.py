"""`distrain runs` and `distrain compare` as a shell sees them."""

import json
from pathlib import Path

import pytest

from tests.command_line import Ended, run_in_process
from tests.compared_runs import MadeRuns


@pytest.fixture
def made(tmp_path: Path) -> MadeRuns:
    made = MadeRuns(tmp_path)
    made.run("r1", {"test/accuracy": 0.9})
    made.run("r2", {"test/accuracy": 0.8}, epochs=7)
    return made


def called(made: MadeRuns, *words: str) -> Ended:
    return run_in_process(words, made.folder)


def test_a_comparison_writes_a_page_and_overwrites_none(made: MadeRuns) -> None:
    ended = called(made, "compare", "r1", "r2", "--out", "c.html", "--json")
    again = called(made, "compare", "r1", "r2", "--out", "c.html")

    assert ended.code == 0
    assert json.loads(ended.stdout)["differences"] == [
        {"part": "configuration", "what": "train.epochs", "values": ["5", "7"]}
    ]
    assert ended.left == ["c.html"]
    assert (again.code, again.left) == (2, [])
    assert "the file is there already" in again.stderr


def test_a_comparison_in_a_pipe_is_plain_text(made: MadeRuns) -> None:
    ended = called(made, "compare", "r1", "r2")
    assert ended.code == 0
    assert "train.epochs" in ended.stdout
    assert "\x1b" not in ended.stdout


@pytest.mark.parametrize("words", [["r1"], ["r1", "r1"], ["r1", "r3"]])
def test_what_cannot_be_compared_is_the_user_s_fault(made: MadeRuns, words: list[str]) -> None:
    ended = called(made, "compare", *words)
    assert ended.code == 2
    assert ended.stderr.startswith("error: ")


def test_runs_are_listed_as_they_are_asked_for(
    made: MadeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What was made here waits to be shipped, which takes a tracking database and seconds.
    monkeypatch.setattr("distrain.track.sync.ship_waiting", lambda _: None)
    ended = called(made, "runs", "--sort", "-test/accuracy", "--where", "test/accuracy>0", "--json")
    runs = json.loads(ended.stdout)["runs"]
    assert [(run["run"], run["outcome"], run["status"]) for run in runs] == [
        ("r1", "finished", "finished"), ("r2", "finished", "finished"),
    ]  # fmt: skip
    assert called(made, "runs", "--sort", "test/f1").code == 2
    assert called(made, "runs", "--watch").code == 2
