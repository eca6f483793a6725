"""The best so far, and enough."""

import math

import pytest

from distrain.train.selection import Selection


def followed(selection: Selection, values: list[float]) -> list[tuple[bool, bool]]:
    return [
        (selection.observe(step, {selection.metric: value}), selection.is_enough)
        for step, value in enumerate(values, 1)
    ]


def test_patience_counts_evaluations_without_improvement() -> None:
    selection = Selection(patience=2)
    found = followed(selection, [3.0, 2.0, 2.5, 1.0, 1.0, 1.5])
    assert [is_best for is_best, _ in found] == [True, True, False, True, False, False]
    assert [is_enough for _, is_enough in found] == [False] * 5 + [True]
    assert (selection.best_value, selection.best_step) == (1.0, 4)


def test_more_is_better_where_the_mode_says_so() -> None:
    selection = Selection(metric="validation/accuracy", mode="max")
    assert [best for best, _ in followed(selection, [0.5, 0.4, 0.6])] == [True, False, True]


def test_small_gains_are_the_best_but_use_up_patience() -> None:
    selection = Selection(patience=2, min_delta=0.1)
    found = followed(selection, [1.0, 0.95, 0.92])
    assert found == [(True, False), (True, False), (True, True)]


def test_an_undefined_value_is_no_improvement() -> None:
    assert followed(Selection(patience=1), [math.nan]) == [(False, True)]


def test_without_patience_it_is_never_enough() -> None:
    assert not any(enough for _, enough in followed(Selection(), [1.0] * 50))


@pytest.mark.parametrize(
    ("section", "mode"),
    [
        ({"metric": "validation/roc_auc", "mode": None}, "max"),
        ({"metric": "validation/own", "mode": "max"}, "max"),
        ({"metric": "validation/loss"}, "min"),
        (None, "min"),
    ],
)
def test_the_mode_is_that_of_the_metric(section: dict[str, str] | None, mode: str) -> None:
    assert Selection.of(section).mode == mode
