"""Which runs are compared: what the user named, and what cannot stand beside each other."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from distrain.compare.sides import find_sides
from distrain.errors import ConfigError
from tests.compared_runs import MadeRuns

BEST = {"trial": 3, "run_id": None, "config": {}, "metrics": {"test/loss": 0.5}}


@pytest.fixture
def made(tmp_path: Path) -> MadeRuns:
    return MadeRuns(tmp_path)


def test_runs_are_found_by_folder_and_by_name(made: MadeRuns) -> None:
    first, second = made.run("r1", {"test/loss": 0.5}), made.run("r2")

    sides = find_sides([str(first), "a/r2"], made.storage, ExitStack())

    assert [(s.letter, s.key, s.run_dir) for s in sides] == [
        ("A", "a/r1", first), ("B", "a/r2", second),
    ]  # fmt: skip
    assert sides[0].metrics == {"test/loss": 0.5}


def test_an_unknown_run_is_told_with_the_nearest(made: MadeRuns) -> None:
    made.run("20260101T120000-aaaaaa")
    with pytest.raises(ConfigError, match="Did you mean '20260101T120000-aaaaaa'"):
        find_sides(["20260101T120000-aaaaaa", "20260101T120000-aaaaab"], made.storage, ExitStack())


@pytest.mark.parametrize("named", [["r1"], ["r1", "a/r1"]])
def test_one_run_alone_cannot_be_compared(made: MadeRuns, named: list[str]) -> None:
    made.run("r1")
    with pytest.raises(ConfigError, match="Expected at least two runs"):
        find_sides(named, made.storage, ExitStack())


def test_a_run_does_not_stand_against_a_search_but_its_winner_does(made: MadeRuns) -> None:
    made.run("r1")
    made.search("s1", BEST)
    made.run("s1-0003")

    with pytest.raises(ConfigError, match="a/r1 is a run, and a/s1 a search") as told:
        find_sides(["r1", "s1"], made.storage, ExitStack())

    assert told.value.mend.endswith("or take the run of the search's winner: s1-0003")
    assert [side.key for side in find_sides(["r1", "s1-0003"], made.storage, ExitStack())][
        1
    ] == "a/s1-0003"


def test_a_search_has_the_metrics_of_its_winner(made: MadeRuns) -> None:
    made.search("s1", BEST)
    made.search("s2", {**BEST, "trial": 4})

    first, second = find_sides(["s1", "s2"], made.storage, ExitStack())

    assert first.metrics == {"test/loss": 0.5}
    assert second.model_dir.name == "s2-0004"
