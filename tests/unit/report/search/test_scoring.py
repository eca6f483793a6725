"""The axis of scores."""

import itertools
import math

import pytest

from distrain.report.search.scoring import scores_of

SKEWED = [0.92 - 0.001 * at for at in range(20)] + [0.7, 0.3]


def test_even_scores_have_an_even_axis() -> None:
    scores = scores_of([0.0, 0.25, 0.5, 0.75, 1.0], "max")

    places = [scores.place(value) for value in (0.0, 0.5, 1.0)]

    assert places == pytest.approx([0.03, 0.5, 0.97])
    assert scores.note == ""


@pytest.mark.parametrize("mode", ["min", "max"])
def test_scores_close_to_the_best_have_the_greater_part_of_a_stretched_axis(mode: str) -> None:
    sign = 1 if mode == "max" else -1
    scores = scores_of([sign * value for value in SKEWED], "max" if mode == "max" else "min")

    best, tenth, worst = (scores.place(sign * value) for value in (0.92, 0.91, 0.3))

    assert best is not None
    assert tenth is not None
    assert worst is not None
    assert abs(best - tenth) > 0.3 * abs(best - worst)
    assert (best > worst) == (mode == "max")
    assert scores.note


def test_ticks_of_a_stretched_axis_do_not_run_into_each_other() -> None:
    ticks = scores_of(SKEWED, "max").ticks()

    places = sorted(place for place, _ in ticks)

    assert len(ticks) >= 4
    assert min(b - a for a, b in itertools.pairwise(places)) >= 0.1


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_what_is_no_number_has_no_place(value: float | None) -> None:
    assert scores_of([0.1, 0.2, math.nan, math.inf, None], "min").place(value) is None


def test_the_best_is_shaded_strongest_and_the_worst_alike() -> None:
    scores = scores_of([*range(100)], "min")

    assert scores.merit(0) == 1.0
    assert scores.merit(99) == scores.merit(90) == 0.0
    assert scores.merit(10) > scores.merit(40) > 0


def test_a_text_tells_the_best_apart() -> None:
    scores = scores_of([0.919454, 0.919298], "max")

    assert [scores.text(value) for value in (0.919454, 0.9)] == ["0.91945", "0.90000"]


def test_one_score_and_none_have_an_axis() -> None:
    assert scores_of([0.5], "max").place(0.5) == pytest.approx(0.5)
    assert scores_of([], "min").ticks()
