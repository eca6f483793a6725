"""Counts of where a model is wrong."""

import numpy as np
import pytest

from distrain.train import mistakes


def test_classes_are_counted_and_confusions_come_by_how_many_they_are() -> None:
    confusion = np.array([[8, 1, 0], [3, 5, 2], [0, 0, 4]])

    counts = mistakes.of_classes(confusion, ["a", "b", "c"])

    assert counts == {
        "num_rows": 23,
        "num_classes": 3,
        "classes": ["a", "b", "c"],
        "actual": [9, 10, 4],
        "predicted": [11, 6, 6],
        "right": [8, 5, 4],
        "confused": [[1, 0, 3], [1, 2, 2], [0, 1, 1]],
    }


def test_of_many_classes_those_with_the_most_rows_are_told() -> None:
    num = mistakes.MAX_CLASSES + 2
    confusion = np.diag(np.arange(num))
    confusion[num - 1, 0] = 7

    counts = mistakes.of_classes(confusion, [f"c{index}" for index in range(num)])

    assert counts["num_classes"] == num
    assert len(counts["classes"]) == mistakes.MAX_CLASSES
    assert counts["classes"][-1] == f"c{num - 1}"
    assert counts["num_rows"] == int(confusion.sum())


def test_of_fifty_classes_all_confusions_are_told() -> None:
    confusion = np.ones((50, 50), dtype=np.int64)

    assert len(mistakes.of_classes(confusion, ["x"] * 50)["confused"]) == 50 * 49


def test_errors_are_counted_by_their_size_and_by_the_target() -> None:
    targets = np.arange(1000.0).reshape(-1, 1)
    errors = np.where(np.arange(1000) % 2 == 0, 1.0, -3.0).reshape(-1, 1)

    [told] = mistakes.of_numbers(targets, targets + errors, ["price"])["targets"]

    assert (told["name"], told["num_finite"]) == ("price", 1000)
    assert told["mean_error"] == pytest.approx(-1.0)
    assert told["mean_absolute_error"] == pytest.approx(2.0)
    assert sum(told["counts"]) + told["below"] + told["above"] == 1000
    assert len(told["edges"]) == len(told["counts"]) + 1
    assert [group["num_rows"] for group in told["groups"]] == [100] * 10
    assert (told["groups"][0]["low"], told["groups"][0]["high"]) == (0.0, 99.0)


def test_predictions_that_are_no_numbers_are_left_out_and_told() -> None:
    targets = np.array([[1.0, 2.0], [3.0, 4.0]])
    values = np.array([[np.nan, 2.0], [np.inf, 5.0]])

    first, second = mistakes.of_numbers(targets, values, ["a", "b"])["targets"]

    assert first == {"name": "a", "num_finite": 0}
    assert second["mean_error"] == pytest.approx(0.5)
    assert sum(second["counts"]) == 2


def test_equal_errors_have_a_range_too() -> None:
    targets = np.zeros((3, 1))

    [told] = mistakes.of_numbers(targets, targets + 2.0, ["a"])["targets"]

    assert sum(told["counts"]) == 3
