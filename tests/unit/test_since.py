"""What changed since the run before: found as a comparison finds it, and of the right run."""

from pathlib import Path
from typing import Any

import pytest

from distrain.since import compare_line, since_last_run
from distrain.story import changes_text
from tests.compared_runs import MadeRuns

FIRST, SECOND, THIRD = (f"2026110{day}T000000-aaaaaa" for day in (1, 2, 3))
BEST: dict[str, Any] = {"trial": 3, "run_id": None, "config": {}, "metrics": {}}
LR = {"name": "adamw", "lr": 0.02}


@pytest.fixture
def made(tmp_path: Path) -> MadeRuns:
    return MadeRuns(tmp_path)


def test_what_was_planted_is_told_and_nothing_else(made: MadeRuns) -> None:
    made.run(FIRST, optimizer={"name": "adamw", "lr": 0.5})
    made.run(SECOND)
    made.source += "3,1\n"
    made.code = "WIDTH = 4\n"
    run_dir = made.run(THIRD, optimizer=LR)

    since = since_last_run(run_dir)

    assert since is not None
    assert since.run == SECOND
    causes = [(row.part, row.what.rpartition("/")[2]) for row in since.differences.causes]
    assert causes == [
        ("configuration", "train.optimizer.lr"), ("code", "net.py"), ("data", "a.csv"),
    ]  # fmt: skip
    assert changes_text(run_dir).startswith(
        f"since {SECOND}: configuration: train.optimizer.lr 0.001 -> 0.02; code: net.py "
    )


def test_a_run_like_the_one_before_has_no_differences(made: MadeRuns) -> None:
    made.run(SECOND)

    assert changes_text(made.run(THIRD)) == f"since {SECOND}: nothing"


@pytest.mark.parametrize("name", [SECOND, f"{THIRD}-0007"])
def test_what_a_search_s_winner_became_is_no_run_to_compare_with(made: MadeRuns, name: str) -> None:
    made.run(name, won=[f"a/{THIRD}", 7])

    assert since_last_run(made.run(THIRD)) is None


def test_a_winner_is_not_compared_with_its_own_search(made: MadeRuns) -> None:
    made.search(THIRD, BEST)

    assert since_last_run(made.run(f"{THIRD}-0007", won=[f"a/{THIRD}", 7])) is None


def test_runs_are_held_against_runs_and_searches_against_searches(made: MadeRuns) -> None:
    made.run(FIRST)
    made.search(SECOND, BEST)

    run, search = (
        since_last_run(run_dir)
        for run_dir in (made.run(THIRD), made.search("20261104T000000-aaaaaa", BEST))
    )

    assert run is not None
    assert search is not None
    assert (run.run, search.run) == (FIRST, SECOND)


def test_the_first_search_is_held_against_a_run_but_for_what_it_searches(made: MadeRuns) -> None:
    made.run(FIRST)

    since = since_last_run(made.search(SECOND, BEST))

    assert since is not None
    assert not any(row.what.startswith("tune") for row in since.differences.causes)


def test_lineage_of_another_kind_is_told_to_be_unknown(
    made: MadeRuns, caplog: pytest.LogCaptureFixture
) -> None:
    before = made.run(SECOND)
    (before / "lineage" / "code.json").write_text("{}")

    assert since_last_run(made.run(THIRD)) is None
    assert f"what changed since run {SECOND} is not known" in caplog.text


def test_the_command_that_compares_finds_the_run_from_any_folder(made: MadeRuns) -> None:
    run_dir = made.run(FIRST)

    assert compare_line(run_dir) == (
        f"distrain compare ANOTHER_RUN {FIRST} --storage {made.storage}"
    )
