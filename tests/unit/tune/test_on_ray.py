"""A search for which Ray Tune has nothing to do: it is not asked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from distrain import lease
from distrain.train.placement import Placement
from distrain.tune import on_ray
from distrain.tune.budget import Budget
from distrain.tune.course import Afterwards, Course
from distrain.tune.on_ray import Actors, run_search
from distrain.tune.search import Search
from distrain.tune.trials import Work
from tests.simulated_trials import MemoryLog, plan_of


def run(course: Course, prepare: Callable[[Work], Path], folder: Path) -> None:
    run_search(
        course,
        lambda _: None,
        prepare,
        Actors(Placement(1, 1.0, 0.0), {}, 60.0),
        folder,
        fence=lease.take(folder).fence,
        on_event=lambda: None,
    )


@pytest.fixture(autouse=True)
def no_tune(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("No experiment snapshot file was found")

    monkeypatch.setattr(on_ray, "_fit", fail)
    # To ask for it starts a Ray, where other tests have not left one in this process.
    monkeypatch.setattr(on_ray, "node_of_process", lambda: "own")


def test_a_budget_that_runs_out_before_the_first_trial_ends_the_search(tmp_path: Path) -> None:
    now_s = iter([0.0, 0.0, 0.0, *[61.0] * 100]).__next__
    search = Search(plan_of("none", budget=Budget(wall_s=60)), MemoryLog(), now_s)
    course = Course(search, MemoryLog(), Afterwards())
    course.begin()
    assert not search.trials

    run(course, lambda _: tmp_path, tmp_path)

    assert course.is_over
    assert not search.trials


def test_what_goes_wrong_before_the_first_trial_is_told(tmp_path: Path) -> None:
    def full(_work: Work) -> Path:
        raise OSError("the disk is full")

    course = Course(Search(plan_of("none"), MemoryLog()), MemoryLog(), Afterwards())
    course.begin()

    with pytest.raises(OSError, match="the disk is full"):
        run(course, full, tmp_path)
